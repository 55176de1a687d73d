"""Training a model to see whether it learns, and what of it does not."""
