"""A context that a forward saves in what its backward needs, for frameworks that make their own."""

from __future__ import annotations

from typing import Any


class Context:
    """Takes any attribute; what is saved is there by each of the names that people read it by."""

    saved: tuple[Any, ...] = ()

    def save_for_backward(self, *saved: Any) -> None:
        """Keep what backward needs."""
        self.saved = self.saved_tensors = self.saved_values = self.saved_arrays = self.to_save = saved

    save = save_for_backward
