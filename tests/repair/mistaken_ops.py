"""Ops with one mistake each in their backward, as people make them; their forwards are right."""

import numpy as np


def swish(x):
    return x / (1 + np.exp(-x))


def swish_backward(upstream, x):
    s = 1 / (1 + np.exp(-x))
    return upstream * s  # a term is missing


def ratio(x, y):
    return x / y


def ratio_backward(upstream, x, y):
    return upstream / y, -upstream * x / y


def scaled(x, w):
    return x * w + np.sin(x)


def scaled_backward(upstream, x, w):
    return upstream * (w + np.cos(w)), upstream * x


def softmax(x):
    e = np.exp(x - x.max(-1, keepdims=True))
    return e / e.sum(-1, keepdims=True)


def softmax_backward(upstream, x):
    p = softmax(x)
    return p * (upstream - (upstream * p).sum(0, keepdims=True))


def dense(x, w):
    return np.tanh(x @ w)


def dense_backward(upstream, x, w):
    g = upstream * (1 - np.tanh(x @ w) ** 2)
    return g @ w, x.T @ g


def right(x):
    return x**3


def right_backward(upstream, x):
    return 3 * upstream * x**2


def coincident(x):
    return x.sum(0)


def coincident_backward(upstream, x):
    return np.broadcast_to(upstream * 4 / x.shape[1], x.shape).copy()


def step(x):
    return np.where(x > 0.25, x, 0.1 * x)


def step_backward(upstream, x):
    return upstream * np.where(x < 0.25, 1.0, 0.1)


class Layer:
    def __init__(self):
        self.w = np.array([0.5, -1.5, 2.0])

    def forward(self, x):
        self.x = x
        return x**2 * self.w

    def backward(self, upstream):
        return upstream * self.x * self.w


def rectified(x):
    return np.maximum(x, 0.0)


def rectified_backward(upstream, x):
    return upstream * (x > 0.5)


def pooled(x, size=2):
    return x.reshape(len(x), -1, size).mean(axis=2)


def pooled_backward(upstream, x, size=2):
    return np.repeat(upstream, size, axis=1)


def looked_up(table, ids):
    return table[ids]


def looked_up_backward(upstream, table, ids):
    gradient = np.zeros_like(table)
    gradient[ids] += upstream
    return gradient


def folded(x):
    return np.abs(x)


def folded_backward(upstream, x):
    return 2 * upstream


def taken(x, stride=2):
    return np.stack([x[i * stride : i * stride + 2].sum() for i in range((len(x) - 2) // stride + 1)])


def taken_backward(upstream, x, stride=2):
    gradient = np.zeros_like(x)
    for i in range(len(upstream)):
        gradient[i : i + 2] += upstream[i]
    return gradient


def cube(x, unused):
    return x**3


def cube_backward(upstream, x, unused):
    return 2 * upstream * x**2, None
