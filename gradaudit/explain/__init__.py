"""One op in depth: what was audited, where it is wrong, how sure that is, and how to see it for oneself."""
