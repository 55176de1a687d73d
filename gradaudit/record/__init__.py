"""From a script that runs to specs: real calls of forwards and backwards are kept, tried again, and written down.

The script runs in a process of its own (``__main__``), with its modules changed as they are imported (``instrument``):
each backward pass that discovery knows, and its forward, is watched (``watch``, and ``foreign`` for C). The few calls
that are kept (``calls``) come back, are drafted and tried (``drafting``), once more at sizes of which no two are equal
(``redraw``), and written as specs with their arrays beside them (``written``).

What runs inside of the script imports only NumPy and what finds backward passes: it must not cost seconds.
"""
