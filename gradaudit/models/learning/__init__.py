"""Training a model to see whether it learns, and what of it does not.

``lesson`` makes of a case what is to be trained, ``optimise`` opens what changes the parameters, ``train`` runs the
loop and notes a ``course``, ``judge`` holds that against what the spec expects. ``audit`` does this after flow's audit
of the same model, so that a training that disappoints is told with the wrong gradients behind it.
"""
