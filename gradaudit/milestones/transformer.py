"""The transformer, on a task that needs attention: to write a sequence backwards.

Source: Vaswani, Shazeer, Parmar, Uszkoreit, Jones, Gomez, Kaiser and Polosukhin, Attention Is All You Need, 2017; with
the norms before what they feed, after Xiong et al., On Layer Normalization in the Transformer Architecture, 2020.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, DTypeLike, NDArray

from gradaudit.milestones.layers import Attention, Embedding, LayerNorm, Linear
from gradaudit.tape import Module, Tensor, functions

Array = NDArray[Any]

SEQUENCES = 256
LENGTH = 6
SYMBOLS = 8
WIDTH = 16
HEADS = 2


class Block(Module):
    """Attention, then a map of each token by itself, either added to what it was given: 15 parameters."""

    def __init__(self, rng: np.random.Generator, dtype: DTypeLike) -> None:
        self.attention_norm = LayerNorm(WIDTH, dtype)
        self.attention = Attention(WIDTH, HEADS, rng, dtype)
        self.feedforward_norm = LayerNorm(WIDTH, dtype)
        self.expand = Linear(WIDTH, 2 * WIDTH, rng, dtype)
        self.contract = Linear(2 * WIDTH, WIDTH, rng, dtype)

    def __call__(self, x: Tensor) -> Tensor:
        """Return (N, T, width) for tokens of shape (N, T, width)."""
        x = x + self.attention(self.attention_norm(x))
        return x + self.contract(functions.gelu(self.expand(self.feedforward_norm(x))))


class Transformer(Module):
    """Embeddings of symbols and places, one block, and a layer that reads symbols off: 19 parameters."""

    def __init__(self, rng: np.random.Generator, dtype: DTypeLike) -> None:
        self.symbols = Embedding(SYMBOLS, WIDTH, rng, dtype)
        self.places = Embedding(LENGTH, WIDTH, rng, dtype)
        self.blocks = [Block(rng, dtype)]
        self.output = Linear(WIDTH, SYMBOLS, rng, dtype)

    def __call__(self, symbols: Tensor) -> Tensor:
        """Return the logits (N, T, symbols) of sequences (N, T) of integers."""
        x = self.symbols(symbols) + self.places(np.arange(symbols.shape[-1]))
        for block in self.blocks:
            x = block(x)
        return self.output(x)


def build(seed: int = 0, dtype: DTypeLike = np.float64) -> Transformer:
    """Return the model with weights that depend on the seed."""
    return Transformer(np.random.default_rng(seed), dtype)


def data(seed: int = 0) -> tuple[tuple[Array], tuple[Array]]:
    """Return sequences (N, T) of integers, and each of them backwards."""
    sequences = np.random.default_rng(seed).integers(SYMBOLS, size=(SEQUENCES, LENGTH))
    return (sequences,), (sequences[:, ::-1].copy(),)


def loss(output: Tensor, target: Tensor | ArrayLike) -> Tensor:
    """Return the mean cross-entropy of logits (N, T, symbols)."""
    return functions.cross_entropy(output, target)


def accuracy(output: Array, target: Array) -> float:
    """Return the share of symbols that are right."""
    return float(np.mean(output.argmax(axis=-1) == target))
