"""A teaching framework that knows float32 only, must be switched on, and whose models have a method ``forward``."""

import numpy as np

ENABLED = False


def enable_autograd():
    global ENABLED
    ENABLED = True


class Function:
    def __init__(self, *tensors):
        self.saved_tensors = tensors
        self.next_functions = [t._grad_fn for t in tensors if hasattr(t, "_grad_fn")]


class Tensor:
    def __init__(self, data, requires_grad=False):
        self.data = np.array(data, dtype=np.float32)
        self.requires_grad = requires_grad
        self.grad = None

    def backward(self, gradient=None):
        if not self.requires_grad:
            return
        if gradient is None:
            gradient = np.ones_like(self.data)
        self.grad = gradient if self.grad is None else self.grad + gradient
        if hasattr(self, "_grad_fn"):
            for t, g in zip(self._grad_fn.saved_tensors, self._grad_fn.apply(gradient), strict=False):
                if isinstance(t, Tensor) and t.requires_grad and g is not None:
                    t.backward(g)

    def __matmul__(self, other):
        return track(Tensor(self.data @ other.data), MatmulBackward(self, other))

    def __add__(self, other):
        return track(Tensor(self.data + other.data), AddBackward(self, other))

    def relu(self):
        return track(Tensor(np.maximum(self.data, 0)), ReLUBackward(self))


def track(result, function):
    if ENABLED and any(t.requires_grad for t in function.saved_tensors):
        result.requires_grad = True
        result._grad_fn = function
    return result


class MatmulBackward(Function):
    def apply(self, g):
        a, b = self.saved_tensors
        return g @ b.data.T, a.data.T @ g


class AddBackward(Function):
    def apply(self, g):
        _, b = self.saved_tensors
        return g, g.sum(axis=0) if b.data.ndim < g.ndim else g


class ReLUBackward(Function):
    def apply(self, g):
        (a,) = self.saved_tensors
        return (g * (a.data > 0),)


class MSEBackward(Function):
    def __init__(self, output, target):
        super().__init__(output)
        self.target = target

    def apply(self, g):
        (output,) = self.saved_tensors
        return (g * 2 * (output.data - self.target.data) / output.data.size,)


class MSELoss:
    def __call__(self, output, target):
        made = Tensor(np.mean((output.data - target.data) ** 2))
        return track(made, MSEBackward(output, target))


mse = MSELoss()


class Linear:
    def __init__(self, inputs, outputs, rng):
        self.weight = Tensor(rng.normal(size=(inputs, outputs)), requires_grad=True)
        self.bias = Tensor(np.zeros(outputs), requires_grad=True)

    def forward(self, x):
        return x @ self.weight + self.bias

    def parameters(self):
        return [self.weight, self.bias]


class Model:
    def __init__(self, broken=False, wrong=False):
        self.wrong = wrong
        rng = np.random.default_rng(0)
        self.layers = [Linear(3, 4, rng), Linear(4, 2, rng)]
        self.broken = broken

    def forward(self, x):
        hidden = self.layers[0].forward(x).relu()
        if self.wrong:
            hidden._grad_fn.apply = lambda g: (0.9 * g,)
        if self.broken:
            hidden = Tensor(hidden.data)
        return self.layers[1].forward(hidden)

    def parameters(self):
        return [p for layer in self.layers for p in layer.parameters()]
