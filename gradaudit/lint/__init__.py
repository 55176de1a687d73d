"""Static rules for code on a tape: where a gradient gets lost, seen in the syntax tree alone.

``run`` reads files, asks every rule of ``rules``, and leaves out what ``ignores`` say. A rule sees a file as ``source``
has it: its functions, each with its ``flow``, the walk through the statements that follows tensors and their arrays
through ``expressions`` to each ``value``. Beside it stand ``constructor`` (which calls build a tensor), ``inplace``
(what changes an array) and ``vocabulary`` (what names say).
"""
