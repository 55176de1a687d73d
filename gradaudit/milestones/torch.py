"""The milestones as torch modules, with the same weights as those on the project's own tape."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from gradaudit.milestones import cnn as cnn_on_tape
from gradaudit.milestones import mlp as mlp_on_tape
from gradaudit.milestones import perceptron as perceptron_on_tape
from gradaudit.milestones import transformer as transformer_on_tape
from gradaudit.milestones import xor as xor_on_tape
from gradaudit.tape import Module


class Perceptron(nn.Module):
    """A weight and a bias."""

    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(2, 1)

    def forward(self, x: Tensor) -> Tensor:
        """Return the logits (N, 1) of points (N, 2)."""
        return self.linear(x)


class Xor(nn.Module):
    """Two layers with a tanh between them."""

    def __init__(self) -> None:
        super().__init__()
        self.hidden = nn.Linear(2, xor_on_tape.HIDDEN)
        self.output = nn.Linear(xor_on_tape.HIDDEN, 1)

    def forward(self, x: Tensor) -> Tensor:
        """Return the logits (N, 1) of points (N, 2)."""
        return self.output(torch.tanh(self.hidden(x)))


class MLP(nn.Module):
    """Two layers with a rectifier between them."""

    def __init__(self) -> None:
        super().__init__()
        self.hidden = nn.Linear(64, mlp_on_tape.HIDDEN)
        self.output = nn.Linear(mlp_on_tape.HIDDEN, 10)

    def forward(self, x: Tensor) -> Tensor:
        """Return the logits (N, 10) of images (N, 1, 8, 8)."""
        return self.output(torch.relu(self.hidden(x.flatten(1))))


class CNN(nn.Module):
    """Two convolutions, each with a rectifier and maxima, and a linear layer."""

    def __init__(self) -> None:
        super().__init__()
        first, second = cnn_on_tape.FILTERS
        self.first = nn.Conv2d(1, first, 3, padding=1)
        self.second = nn.Conv2d(first, second, 3, padding=1)
        self.output = nn.Linear(second * 4, 10)

    def forward(self, x: Tensor) -> Tensor:
        """Return the logits (N, 10) of images (N, 1, 8, 8)."""
        halved = functional.max_pool2d(torch.relu(self.first(x)), 2)
        quartered = functional.max_pool2d(torch.relu(self.second(halved)), 2)
        return self.output(quartered.flatten(1))


class Attention(nn.Module):
    """Self-attention with several heads; keys have no bias."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.query = nn.Linear(width, width)
        self.key = nn.Linear(width, width, bias=False)
        self.value = nn.Linear(width, width)
        self.output = nn.Linear(width, width)

    def forward(self, x: Tensor) -> Tensor:
        """Return (N, T, width) for tokens of shape (N, T, width)."""
        q, k, v = (self._by_head(projection(x)) for projection in (self.query, self.key, self.value))
        return self.output(functional.scaled_dot_product_attention(q, k, v).transpose(1, 2).reshape(x.shape))

    def _by_head(self, x: Tensor) -> Tensor:
        return x.unflatten(-1, (self.heads, -1)).transpose(1, 2)


class Block(nn.Module):
    """Attention, then a map of each token by itself, either added to what it was given."""

    def __init__(self) -> None:
        super().__init__()
        width = transformer_on_tape.WIDTH
        self.attention_norm = nn.LayerNorm(width)
        self.attention = Attention(width, transformer_on_tape.HEADS)
        self.feedforward_norm = nn.LayerNorm(width)
        self.expand = nn.Linear(width, 2 * width)
        self.contract = nn.Linear(2 * width, width)

    def forward(self, x: Tensor) -> Tensor:
        """Return (N, T, width) for tokens of shape (N, T, width)."""
        x = x + self.attention(self.attention_norm(x))
        return x + self.contract(functional.gelu(self.expand(self.feedforward_norm(x))))


class Transformer(nn.Module):
    """Embeddings of symbols and places, one block, and a layer that reads symbols off."""

    def __init__(self) -> None:
        super().__init__()
        width, symbols = transformer_on_tape.WIDTH, transformer_on_tape.SYMBOLS
        self.symbols = nn.Embedding(symbols, width)
        self.places = nn.Embedding(transformer_on_tape.LENGTH, width)
        self.blocks = nn.ModuleList([Block()])
        self.output = nn.Linear(width, symbols)

    def forward(self, symbols: Tensor) -> Tensor:
        """Return the logits (N, T, symbols) of sequences (N, T) of integers."""
        x = self.symbols(symbols) + self.places(torch.arange(symbols.shape[-1]))
        for block in self.blocks:
            x = block(x)
        return self.output(x)


def perceptron(seed: int = 0, dtype: str = "float64") -> nn.Module:
    """Return the perceptron, with 2 parameters."""
    return _with_weights_of(perceptron_on_tape.build(seed, dtype), Perceptron)


def xor(seed: int = 0, dtype: str = "float64") -> nn.Module:
    """Return the model of exclusive or, with 4 parameters."""
    return _with_weights_of(xor_on_tape.build(seed, dtype), Xor)


def mlp(seed: int = 0, dtype: str = "float64") -> nn.Module:
    """Return the multilayer perceptron, with 4 parameters."""
    return _with_weights_of(mlp_on_tape.build(seed, dtype), MLP)


def cnn(seed: int = 0, dtype: str = "float64") -> nn.Module:
    """Return the convolutional network, with 6 parameters."""
    return _with_weights_of(cnn_on_tape.build(seed, dtype), CNN)


def transformer(seed: int = 0, dtype: str = "float64") -> nn.Module:
    """Return the transformer, with 19 parameters."""
    return _with_weights_of(transformer_on_tape.build(seed, dtype), Transformer)


def perceptron_loss(output: Tensor, target: Tensor) -> Tensor:
    """Return the mean logistic loss of logits (N, 1) with targets 0.0 or 1.0."""
    return functional.binary_cross_entropy_with_logits(output, target)


def mlp_loss(output: Tensor, target: Tensor) -> Tensor:
    """Return the mean cross-entropy of logits (N, ..., C) with integer targets (N, ...)."""
    return functional.cross_entropy(output.flatten(0, -2), target.flatten())


xor_loss = perceptron_loss
cnn_loss = transformer_loss = mlp_loss


def _with_weights_of(model: Module, counterpart: type[nn.Module]) -> nn.Module:
    """Return the torch module with a model's weights; torch's own generator is left as it was."""
    with torch.random.fork_rng(devices=[]):
        made: Any = counterpart()
    # torch numbers the members of lists with dots, this project with brackets.
    weights = {path.replace("[", ".").replace("]", ""): tensor for path, tensor in model.named_parameters().items()}
    made.load_state_dict({path: torch.tensor(tensor.data) for path, tensor in weights.items()}, assign=True)
    return made.requires_grad_()
