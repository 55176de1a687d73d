"""Relations: what a right backward keeps to however steep forward is, so that no difference of forward is needed.

A relation is tried only where forward keeps to it itself, bit by bit or but for its rounding. One that is broken fails
a case whatever noise differences drown in. They are tried where a spec says ``relations: true``, and by ``explore``.
"""
