"""Reference ops in frameworks; each file imports its own, and is imported only where a spec names it."""
