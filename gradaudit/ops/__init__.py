"""Reference ops: plain functions on NumPy arrays, each with a hand-written backward."""
