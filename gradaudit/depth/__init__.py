"""Depth: which lines and branches of an op's implementation its cases execute."""
