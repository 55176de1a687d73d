"""Gradients that flow: whether what a model computes is attached to what it was computed from, on any tape.

``audit`` is the way through: ``subject`` runs the model once, ``graph`` walks the tape from the loss, and each of
``checks`` asks one question of the two. Where a gradient is lost, ``cut`` finds the line; where one is wrong,
``culprit`` narrows down the steps in question, with ``attribution`` to tell which of them it is.
"""
