"""Whole models, on any tape: whether gradients flow to all that they should reach, and are right; whether it learns.

``op`` makes of a model, its loss and a ``batch`` an op, spoken to through one of ``tapes``. ``audit`` is the way
through: ``subject`` runs the model once, ``graph`` walks the tape from the loss, and each of ``checks`` asks one
question of the two; ``root`` tells of all gradients at once whether they are right, from the model ``displaced`` and
the ``upstreams`` of its outputs, by ``agreement`` of those in its own precision; ``narrowed`` tells what casts make of
them. What explains a failure takes more runs: ``recording`` notes what comes to be, ``cut`` finds where gradients are
lost, ``steps`` which steps are wrong (``balance`` and ``descent`` where a tape cannot take steps again, by the
``motion`` of everything), and ``culprit`` tells each parameter its own. ``learning`` trains a model and tells of what
disappoints.
"""
