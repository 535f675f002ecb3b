"""Scores and what they are shown in."""
