"""Repair: the edit of a wrong backward's source that makes it right, found by search and held against forward."""
