"""Gradients that flow: whether what a model computes is attached to what it is made of, for any framework with a tape."""
