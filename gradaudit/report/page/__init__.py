"""Results as a page for a browser: one file that needs no network, and no script.

Frozen data is made from results here (a matrix of verdicts, failing gradients, pictures in pixels); the templates only
print it.
"""
