"""Less usual ways: numbers on a tape, contexts, closures that are returned, layers that are given arrays."""

import functools

import numpy as np


class Value:
    def __init__(self, data, _children=()):
        self.data = data
        self.grad = 0.0
        self._backward = lambda: None
        self._prev = set(_children)

    def __add__(self, other):
        other = other if isinstance(other, Value) else Value(other)
        out = Value(self.data + other.data, (self, other))

        def _backward():
            self.grad += out.grad
            other.grad += out.grad

        out._backward = _backward
        return out

    def __mul__(self, other):
        other = other if isinstance(other, Value) else Value(other)
        out = Value(self.data * other.data, (self, other))

        def _backward():
            self.grad += other.data * out.grad
            other.grad = self.data * out.grad  # wrong

        out._backward = _backward
        return out

    def tanh(self):
        import math

        t = math.tanh(self.data)
        out = Value(t, (self,))

        def _backward():
            self.grad += (1 - t * t) * out.grad

        out._backward = _backward
        return out


class Function:
    @classmethod
    def apply(cls, *a):
        ctx = Context()
        return cls.forward(ctx, *a), ctx


class Context:
    def save_for_backward(self, *a):
        self.saved = a


class Mul(Function):
    @staticmethod
    def forward(ctx, a, b):
        ctx.save_for_backward(a, b)
        return a * b

    @staticmethod
    def backward(ctx, grad):
        a, b = ctx.saved
        return grad * b, grad * a


class Sq:
    @staticmethod
    def forward(x):
        return x * x

    @staticmethod
    def backward(g, x):
        return g * x  # wrong


def logged(f):
    @functools.wraps(f)
    def inner(*a, **k):
        return f(*a, **k)

    return inner


@logged
def scale_forward(x, *, factor=2.0):
    return {"out": x * factor, "saved": x}


@logged
def scale_backward(dout, saved, *, factor=2.0):
    return {"x": dout * factor}


class Base:
    def __call__(self, *a):
        return self.forward(*a)


class Dense(Base):
    def __init__(self, weight, bias=None, activation="none"):
        self.weight, self.bias = weight, bias
        self.activation = activation

    def forward(self, x):
        self.x = x
        z = x @ self.weight.T
        return z if self.bias is None else z + self.bias

    def backward(self, dz):
        self.dweight = dz.T @ self.x
        self.dbias = dz.sum(0)
        return dz @ self.weight


class Conv1d(Base):
    def __init__(self, cin, cout, k=3, stride=1):
        self.W = np.random.randn(cout, cin, k) * 0.1
        self.stride, self.k = stride, k

    def forward(self, x):
        self.x = x
        n, c, l = x.shape
        lo = (l - self.k) // self.stride + 1
        out = np.zeros((n, self.W.shape[0], lo))
        for i in range(lo):
            out[:, :, i] = np.tensordot(x[:, :, i * self.stride : i * self.stride + self.k], self.W, ([1, 2], [1, 2]))
        return out

    def backward(self, d):
        dx, self.dW = np.zeros_like(self.x), np.zeros_like(self.W)
        for i in range(d.shape[2]):
            s = slice(i, i + self.k)  # wrong at other strides than 1
            self.dW += np.tensordot(d[:, :, i], self.x[:, :, s], ([0], [0]))
            dx[:, :, s] += np.tensordot(d[:, :, i], self.W, ([1], [0]))
        return dx


def embedding_forward(ids, table):
    return table[ids], (ids, table.shape)


def embedding_backward(dout, cache):
    ids, shape = cache
    d = np.zeros(shape)
    d[ids] += dout  # wrong: repeated ids
    return d


def mean_loss(pred, target):
    return ((pred - target) ** 2).sum() / pred.shape[0]


def mean_loss_backward(pred, target):
    return 2 * (pred - target) / pred.shape[1]  # wrong where there are not as many rows as columns


class LSTMCell(Base):
    def __init__(self, n_in, n_hidden):
        self.params = {
            "Wx": np.random.randn(n_in, 4 * n_hidden) * 0.1,
            "Wh": np.random.randn(n_hidden, 4 * n_hidden) * 0.1,
            "b": np.zeros(4 * n_hidden),
        }
        self.grads = {}

    def forward(self, x, h, c):
        p = self.params
        z = x @ p["Wx"] + h @ p["Wh"] + p["b"]
        i, f, o, g = np.split(z, 4, axis=1)
        i, f, o = (1 / (1 + np.exp(-v)) for v in (i, f, o))
        g = np.tanh(g)
        c2 = f * c + i * g
        h2 = o * np.tanh(c2)
        self.cache = x, h, c, i, f, o, g, c2
        return h2

    def backward(self, dh):
        x, h, c, i, f, o, g, c2 = self.cache
        t = np.tanh(c2)
        do = dh * t
        dc2 = dh * o * (1 - t * t)
        dz = np.concatenate([dc2 * g * i * (1 - i), dc2 * c * f * (1 - f), do * o * (1 - o), dc2 * i * (1 - g * g)], 1)
        self.grads["Wx"], self.grads["Wh"], self.grads["b"] = x.T @ dz, h.T @ dz, dz.sum(0)
        return dz @ self.params["Wx"].T, dz @ self.params["Wh"].T, dc2 * f


class Noise(Base):
    def __init__(self):
        self.training, self.built = False, False

    def forward(self, x):
        self.built, self.x = True, x
        return np.sinh(x) if self.training else x

    def backward(self, u):
        return u * np.sinh(self.x) if self.training else u  # wrong in training


def cube(x):
    return x**3


def cube_backward(u, x):
    return 3 * x**2 * u


def pulled(x, w):
    y = np.sin(x @ w)

    def pullback(g):
        c = np.cos(x @ w) * g
        return c @ w.T, x.T @ c

    return y, pullback


np.random.seed(0)
a, b = Value(2.0), Value(-3.0)
for k in range(6):
    c = (a * b + Value(1.5 * k)).tanh()
x = np.random.randn(4, 4)
y, ctx = Mul.apply(x, x + 1)
Mul.backward(ctx, y)
Sq.backward(Sq.forward(x), x)
r = scale_forward(x, factor=3.0)
scale_backward(r["out"], r["saved"], factor=3.0)
d = Dense(np.random.randn(4, 4), bias=np.zeros(4))
d.backward(d(x))
c = Conv1d(4, 4)
c.backward(c(np.random.randn(4, 4, 4)))
ids = np.array([1, 2, 1, 0])
e, cache = embedding_forward(ids, np.random.randn(4, 4))
embedding_backward(e, cache)
p, t = np.random.randn(4, 4), np.zeros((4, 4))
mean_loss(p, t)
mean_loss_backward(p, t)
cell = LSTMCell(4, 4)
h = cell(x, np.zeros((4, 4)), np.zeros((4, 4)))
cell.backward(h)
noise = Noise()
noise.training = True
noise.backward(noise(x))
noise.training = False
noise.backward(noise(x))
cube(x)
cube_backward(x, x)
y, back = pulled(x, x.T)
back(y)
