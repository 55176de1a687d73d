"""The mathematics of an audit: differences, their error bounds, noise, and what they decide."""
