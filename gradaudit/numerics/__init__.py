"""The mathematics of an audit: differences, their error bounds, noise, and what they decide.

For one element: ``loss`` makes of an op a function to difference along an axis, whose noise ``survey`` has measured
(by ``noise`` and ``breaks``); ``derivative`` estimates with a bound, ``kink`` says what holds where there is no
derivative. For all at once: ``directional`` compares along a direction, which ``root_test`` draws, ``calibration`` sets
step and threshold, ``search`` halves where one fails. ``judging`` makes verdicts of estimates; ``arrays`` and
``magnitude`` serve all of them, whatever framework the arrays are of.
"""
