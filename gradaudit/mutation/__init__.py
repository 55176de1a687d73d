"""Mutation: how many small faults in a backward its spec would notice, and which it would not."""
