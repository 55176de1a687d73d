"""Gradients that flow: whether what a model computes is attached to what it was computed from, on any tape."""
