"""The networks and their objectives, and the files that hold their weights."""
