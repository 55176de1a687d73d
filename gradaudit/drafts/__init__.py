"""From a backward pass as it stands in source to a case that runs: its calling convention, shapes and values guessed.

A guess counts for nothing until it was tried: forward runs and is finite, backward answers with gradients that have the
shapes of what they belong to.
"""
