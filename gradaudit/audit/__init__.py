"""What every audit of a case ends with, be it of an op, of a model's flow or of its learning.

``likely_causes`` asks of wrong gradients why they are so; ``conclusion`` makes of results and findings how the case
ended.
"""
