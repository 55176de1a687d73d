"""Text of an op's, or of the user's, as it may be shown."""

from __future__ import annotations


def visible(text: str) -> str:
    """Return the text with escapes for what would command a terminal, or cannot be encoded."""
    return "".join(char if char.isprintable() else char.encode("unicode_escape").decode() for char in text.expandtabs())
