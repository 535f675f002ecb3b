"""From image files to training crops: pairs, degradations, the cache."""
