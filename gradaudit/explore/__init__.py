"""Exploring an op: cases that nobody wrote are drawn from what its spec allows, and those that fail are shrunk."""
