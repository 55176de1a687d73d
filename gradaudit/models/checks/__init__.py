"""Checks of a model: whether gradients flow to all that they should reach, one file for each question."""
