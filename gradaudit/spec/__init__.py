"""Specs: YAML documents that say what an op takes, and the concrete cases that they expand into."""
