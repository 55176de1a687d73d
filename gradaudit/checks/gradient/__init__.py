"""The gradient check: backward's answer against finite differences of forward, at every index."""

from gradaudit.checks.gradient.check import check_gradient

__all__ = ["check_gradient"]
