"""From photographs to crops: pairs, degradations, the cache."""
