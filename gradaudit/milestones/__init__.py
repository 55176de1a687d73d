"""Five models that mark the history of the field, small enough to train in seconds, to see gradients do their work.

Each file has ``build`` (the model), ``data`` (a training set, as arrays), ``loss`` and ``accuracy``.
"""
