"""Checks: what an audit does with a case and its op. One file each."""
