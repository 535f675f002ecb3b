"""Configs, the two training steps and the loop that drives them."""
