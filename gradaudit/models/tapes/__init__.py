"""Tapes: how a model's framework is spoken to, by what its tensors keep of how they came to be.

``tape`` is what an audit of a model asks of one. ``described`` answers from the names that a description has for
things, with ``attributes`` that go by such names, ``constructor`` to see tensors come to be, and ``found`` and
``place`` to say where they are in a model and its source. ``torch`` and ``tinygrad`` are the tapes that no description
fits; ``presets`` opens the one that a spec means.
"""
