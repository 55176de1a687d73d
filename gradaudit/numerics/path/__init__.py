"""Line integrals of the claimed gradient, held against the change of forward: the gradient theorem as a witness.

For every function with a derivative ``f(b) - f(a)`` is the integral of its gradient along any way from a to b. It
holds however forward rounds, tabulates or iterates, up to forward's own error, which does not grow with the way; what
is wrong with a gradient does.
"""
