"""Scores on benchmarks, and their tables, charts and strips."""
