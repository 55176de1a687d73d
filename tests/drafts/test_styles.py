"""Ways in which people write backward passes: found and audited as they stand, and a fault in each is caught."""

from __future__ import annotations

from pathlib import Path
from textwrap import dedent

import pytest

from gradaudit.drafts.plan import plan_of
from gradaudit.engine.audit import audit_case
from gradaudit.results import worst

TENSOR = """
    class Tensor:
        def __init__(self, data, parents=(), backward_fn=None):
            self.data, self.grad, self.parents, self.backward_fn = np.asarray(data, float), None, parents, backward_fn
        def add_grad(self, g):
            self.grad = g if self.grad is None else self.grad + g
"""

STYLES = {
    "an output that forward leaves on the layer": (
        """
        class Dense:
            def __init__(self, n_inputs, n_neurons):
                self.weights, self.biases = np.random.randn(n_inputs, n_neurons), np.zeros((1, n_neurons))
            def forward(self, inputs):
                self.inputs = inputs
                self.output = inputs @ self.weights + self.biases
            def backward(self, dvalues):
                self.dweights = self.inputs.T @ dvalues
                self.dbiases = dvalues.sum(axis=0, keepdims=True)
                self.dinputs = dvalues @ self.weights.T
        """,
        "dvalues.sum(axis=0, keepdims=True)",
        "dvalues.mean(axis=0, keepdims=True)",
    ),
    "a backward that takes a step": (
        """
        class Layer:
            def __init__(self, input_size, output_size):
                self.weights = np.random.rand(input_size, output_size)
            def forward_propagation(self, input_data):
                self.input = input_data
                return input_data @ self.weights
            def backward_propagation(self, output_error, learning_rate):
                input_error = output_error @ self.weights.T
                self.weights -= learning_rate * self.input.T @ output_error
                return input_error
        """,
        "self.weights -= learning_rate *",
        "self.weights -= 2 * learning_rate *",
    ),
    "weights that are used after the step": (
        """
        class Layer:
            def __init__(self, input_size, output_size):
                self.weights = np.random.rand(input_size, output_size)
            def forward(self, x):
                self.x = x
                return x @ self.weights
            def backward(self, grad, lr):
                before = self.weights.copy()
                self.weights -= lr * self.x.T @ grad
                return grad @ before.T
        """,
        "before = self.weights.copy()",
        "before = self.weights",
    ),
    "a constructor that is given its parameters": (
        """
        class Affine:
            def __init__(self, W, b):
                self.W, self.b, self.dW, self.db = W, b, None, None
            def forward(self, x):
                self.x = x
                return x @ self.W + self.b
            def backward(self, dout):
                self.dW, self.db = self.x.T @ dout, dout.sum(axis=0)
                return dout @ self.W.T
        """,
        "self.x.T @ dout",
        "self.x.T @ dout / len(dout)",
    ),
    "parameters as objects": (
        """
        class Parameter:
            def __init__(self, data): self.data, self.grad = data, np.zeros_like(data)
        class Linear:
            def __init__(self, in_features, out_features):
                self.W = Parameter(np.random.randn(in_features, out_features))
                self.b = Parameter(np.zeros(out_features))
            def forward(self, x):
                self.x = x
                return x @ self.W.data + self.b.data
            def backward(self, grad):
                self.W.grad += self.x.T @ grad
                self.b.grad += grad.sum(axis=0)
                return grad @ self.W.data.T
        """,
        "self.b.grad += grad.sum(axis=0)",
        "self.b.grad += grad[0]",
    ),
    "an activation with its gradient": (
        """
        class Elu:
            def __init__(self, alpha=0.3): self.alpha = alpha
            def __call__(self, x): return np.where(x >= 0, x, self.alpha * (np.exp(x) - 1))
            def gradient(self, x): return np.where(x >= 0, 1.0, self.alpha * np.exp(x))
        """,
        "self.alpha * np.exp(x))",
        "np.exp(x))",
    ),
    "an activation that is handed a function": (
        """
        class Activation:
            def __init__(self, activation, activation_prime):
                self.activation, self.activation_prime = activation, activation_prime
            def forward(self, x):
                self.x = x
                return self.activation(x)
            def backward(self, grad, learning_rate): return grad * self.activation_prime(self.x)
        """,
        "self.activation_prime(self.x)",
        "self.activation_prime(grad)",
    ),
    "a loss with static methods": (
        """
        class Quadratic:
            @staticmethod
            def fn(a, y): return 0.5 * np.sum((a - y) ** 2)
            @staticmethod
            def derivative(a, y): return a - y
        """,
        "return a - y",
        "return y - a",
    ),
    "a stride that is one by default": (
        """
        class Subsample:
            def __init__(self, stride=1): self.stride = stride
            def forward(self, x):
                self.shape = x.shape
                return x[:, :: self.stride]
            def backward(self, grad):
                dx = np.zeros(self.shape)
                dx[:, :: self.stride] = grad
                return dx
        """,
        "dx[:, :: self.stride] = grad",
        "dx[:, : grad.shape[1]] = grad",
    ),
    "a class of functions with contexts": (
        """
        class Context:
            def save_for_backward(self, *saved): self.saved = saved
        class Function: pass
        class Dot(Function):
            @staticmethod
            def forward(ctx, x, w):
                ctx.save_for_backward(x, w)
                return x @ w
            @staticmethod
            def backward(ctx, grad_output):
                x, w = ctx.saved
                return grad_output @ w.T, x.T @ grad_output
        """,
        "x.T @ grad_output",
        "2 * x.T @ grad_output",
    ),
    "a closure that is returned": (
        """
        def tanh(x):
            y = np.tanh(x)
            def pullback(g): return g * (1 - y**2)
            return y, pullback
        """,
        "1 - y**2",
        "1 - y",
    ),
    "closures that are handed to tensors": (
        TENSOR
        + """
    def cross_entropy(logits, targets):
        z = logits.data - logits.data.max(1, keepdims=True)
        lp = z - np.log(np.exp(z).sum(1, keepdims=True))
        n = len(targets)
        def backward_fn(grad):
            g = np.exp(lp)
            g[np.arange(n), targets] -= 1
            logits.add_grad(grad * g / n)
        return Tensor(-lp[np.arange(n), targets].mean(), (logits,), backward_fn)
        """,
        "grad * g / n",
        "grad * g",
    ),
    "tensors that are numbers": (
        """
        import math
        class Value:
            def __init__(self, data, children=()):
                self.data, self.grad, self._backward = data, 0, lambda: None
            def log(self):
                out = Value(math.log(self.data), (self,))
                def _backward(): self.grad += out.grad / self.data
                out._backward = _backward
                return out
        """,
        "out.grad / self.data",
        "out.grad / out.data",
    ),
    "the derivative of a function of a vector": (
        """
        def bowl(x): return (x[1:] ** 2 * x[:-1]).sum()
        def bowl_der(x):
            d = np.zeros_like(x)
            d[1:] += 2 * x[1:] * x[:-1]
            d[:-1] += x[1:] ** 2
            return d
        """,
        "d[:-1] += x[1:] ** 2",
        "d[:-1] = x[1:] ** 2",
    ),
    "a derivative that takes the output": (
        """
        def sigmoid(x): return 1 / (1 + np.exp(-x))
        def sigmoid_derivative(a): return a * (1 - a)
        """,
        "a * (1 - a)",
        "a * (1 + a)",
    ),
    "a Jacobian": (
        """
        def softmax(z): return np.exp(z) / np.exp(z).sum()
        def softmax_grad(s): return np.diagflat(s) - np.outer(s, s)
        """,
        "np.outer(s, s)",
        "np.outer(s, s) / 2",
    ),
    "two outputs that count": (
        """
        def cell_forward(x, prev_c, w):
            next_c = np.tanh(x @ w) + prev_c
            return np.sin(next_c), next_c, (x, w, next_c)
        def cell_backward(dnext_h, dnext_c, cache):
            x, w, next_c = cache
            dc = dnext_c + dnext_h * np.cos(next_c)
            da = dc * (1 - np.tanh(x @ w) ** 2)
            return da @ w.T, dc, x.T @ da
        """,
        "dc = dnext_c + dnext_h",
        "dc = dnext_h",
    ),
    "parameters in a dict": (
        """
        def layer_forward(x, parameters):
            return np.tanh(x @ parameters["W"] + parameters["b"]), (x, parameters)
        def layer_backward(da, cache):
            x, parameters = cache
            dz = da * (1 - np.tanh(x @ parameters["W"] + parameters["b"]) ** 2)
            return {"dx": dz @ parameters["W"].T, "dW": x.T @ dz, "db": dz.sum(axis=0)}
        """,
        "dz.sum(axis=0)",
        "dz[0]",
    ),
    "parameters in a list": (
        """
        def net_loss_and_grad(params, X, y):
            W1, b1, W2 = params
            h = np.tanh(X @ W1 + b1)
            d = (h @ W2 - y) / len(X)
            dh = d @ W2.T * (1 - h * h)
            return 0.5 * len(X) * np.sum(d**2), [X.T @ dh, dh.sum(0), h.T @ d]
        """,
        "dh.sum(0)",
        "dh.mean(0)",
    ),
    "a gradient of the wrong shape": (
        """
        class Shift:
            def __init__(self, size): self.params, self.grads = {"b": np.zeros(size)}, {}
            def forward(self, x): return x + self.params["b"]
            def backward(self, dout):
                self.grads["b"] = dout.sum(axis=0)
                return dout
        """,
        "dout.sum(axis=0)",
        "dout.sum(axis=1)",
    ),
    "a branch far out": (
        """
        def relu6(x): return np.clip(x, 0, 6)
        def relu6_prime(x): return ((x > 0) & (x < 6)).astype(float)
        """,
        "(x > 0) & (x < 6)",
        "x > 0",
    ),
    "a loss of vectors": (
        """
        def mse(y, p): return np.mean((y - p) ** 2)
        def mse_prime(y, p): return 2 * (p - y) / len(y)
        """,
        "2 * (p - y)",
        "(p - y)",
    ),
    "a flag that is called like a gradient": (
        """
        class Square:
            def forward(self, X):
                self.X = X
                return X**2
            def backward(self, dLdY, retain_grads=True):
                if retain_grads: self.kept = dLdY
                return self._backward(dLdY)
            def _backward(self, dLdY): return 2 * self.X * dLdY
        """,
        "2 * self.X",
        "self.X",
    ),
    "a backward that answers in single precision": (
        """
        class Cumulated:
            def forward(self, xs):
                self.shape = xs.shape
                return np.cumsum(xs, axis=1)
            def backward(self, dhs):
                dxs = np.empty(self.shape, dtype="f")
                dxs[...] = np.cumsum(dhs[:, ::-1], axis=1)[:, ::-1]
                return dxs
        """,
        "np.cumsum(dhs[:, ::-1], axis=1)[:, ::-1]",
        "np.cumsum(dhs, axis=1)",
    ),
    "scalar functions with contexts": (
        """
        class ScalarFunction: pass
        class Mul(ScalarFunction):
            @staticmethod
            def forward(ctx, a, b):
                ctx.save_for_backward(a, b)
                return a * b
            @staticmethod
            def backward(ctx, d_output):
                a, b = ctx.saved_values
                return d_output * b, d_output * a
        """,
        "d_output * b, d_output * a",
        "d_output * a, d_output * b",
    ),
    "an op of one column": (
        """
        class Softmax:
            def forward(self, input):
                e = np.exp(input)
                self.output = e / np.sum(e)
                return self.output
            def backward(self, output_gradient, learning_rate):
                n = np.size(self.output)
                return np.dot((np.identity(n) - self.output.T) * self.output, output_gradient)
        """,
        "np.identity(n) - self.output.T",
        "np.identity(n) + self.output.T",
    ),
    "a loss that ignores the upstream that it may do without": (
        """
        class Loss:
            def forward(self, x, t):
                self.y, self.t = 1 / (1 + np.exp(-x)), t
                return -np.mean(t * np.log(self.y) + (1 - t) * np.log(1 - self.y))
            def backward(self, dout=1): return (self.y - self.t) / self.t.size
        """,
        "(self.y - self.t)",
        "(self.t - self.y)",
    ),
    "an upstream that is worked in": (
        """
        class Relu:
            def forward(self, x):
                self.mask = x <= 0
                out = x.copy()
                out[self.mask] = 0
                return out
            def backward(self, dout):
                dout[self.mask] = 0
                return dout
        """,
        "dout[self.mask] = 0",
        "dout[~self.mask] = 0",
    ),
    "a module that lacks what it imports": (
        """
        import a_plotting_library_that_is_not_there as plt
        def cube(x): return x**3
        def cube_prime(x): return 3 * x**2
        def show(x): plt.show(cube(x))
        """,
        "3 * x**2",
        "2 * x**2",
    ),
    "names in camel case": (
        """
        def convolutionForward(x, k): return np.array([x[i : i + len(k)] @ k for i in range(len(x) - len(k) + 1)])
        def convolutionBackward(dy, x, k):
            dx, dk = np.zeros_like(x), np.zeros_like(k)
            for i in range(len(dy)):
                dx[i : i + len(k)] += dy[i] * k
                dk += dy[i] * x[i : i + len(k)]
            return dx, dk
        """,
        "dk += dy[i] *",
        "dk = dy[i] *",
    ),
    "scales of channels beside groups": (
        """
        def groupnorm_forward(x, gamma, beta, G, gn_param):
            N, C, H, W = x.shape
            xg = x.reshape(N, G, -1)
            std = np.sqrt(xg.var(axis=2, keepdims=True) + gn_param.get("eps", 1e-5))
            xhat = ((xg - xg.mean(axis=2, keepdims=True)) / std).reshape(x.shape)
            return gamma * xhat + beta, (xhat, gamma, std, G)
        def groupnorm_backward(dout, cache):
            xhat, gamma, std, G = cache
            d, xh = (each.reshape(len(dout), G, -1) for each in (dout * gamma, xhat))
            dx = (d - d.mean(axis=2, keepdims=True) - xh * (d * xh).mean(axis=2, keepdims=True)) / std
            axes = (0, 2, 3)
            dgamma = (dout * xhat).sum(axis=axes, keepdims=True)
            return dx.reshape(dout.shape), dgamma, dout.sum(axis=axes, keepdims=True)
        """,
        "d.mean(axis=2, keepdims=True) - xh",
        "d.mean(axis=2, keepdims=True) + xh",
    ),
    "a loss over time whose gradient is reshaped as it is returned": (
        """
        def temporal_softmax_loss(x, y, mask):
            N, T, V = x.shape
            flat, labels, kept = x.reshape(N * T, V), y.reshape(N * T), mask.reshape(N * T)
            p = np.exp(flat - flat.max(axis=1, keepdims=True))
            p /= p.sum(axis=1, keepdims=True)
            loss = -np.sum(kept * np.log(p[np.arange(N * T), labels])) / N
            d = p.copy()
            d[np.arange(N * T), labels] -= 1
            d = d / N * kept[:, None]
            return loss, d.reshape(N, T, V)
        """,
        " * kept[:, None]",
        "",
    ),
    "parameters that the constructor is given and that are private": (
        """
        class DenseLayer:
            def __init__(self, w: np.array, b: np.array): self._w, self._b, self._dw, self._db = w, b, None, None
            def forward_pass(self, a_prev, training: bool):
                self._a_prev = np.array(a_prev)
                return a_prev @ self._w.T + self._b
            def backward_pass(self, da_curr):
                self._dw = da_curr.T @ self._a_prev
                self._db = da_curr.sum(axis=0, keepdims=True)
                return da_curr @ self._w
        """,
        "self._dw = da_curr.T @ self._a_prev",
        "self._dw = da_curr.T @ self._a_prev / len(da_curr)",
    ),
    "parameters that are made at the first input": (
        """
        class FullyConnected:
            def __init__(self, n_out):
                self.n_out, self.n_in, self.is_initialized = n_out, None, False
                self.parameters, self.gradients, self.X = {"W": None, "b": None}, {}, []
            def forward(self, X, retain_derived=True):
                if not self.is_initialized:
                    W = np.random.randn(X.shape[1], self.n_out) * 0.1
                    self.parameters = {"W": W, "b": np.zeros((1, self.n_out))}
                    self.is_initialized = True
                self.X.append(X)
                return np.tanh(X @ self.parameters["W"] + self.parameters["b"])
            def backward(self, dLdy, retain_grads=True):
                for dy, x in zip([dLdy], self.X):
                    dz = dy * (1 - np.tanh(x @ self.parameters["W"] + self.parameters["b"]) ** 2)
                    self.gradients = {"W": x.T @ dz, "b": dz.sum(axis=0, keepdims=True)}
                    return dz @ self.parameters["W"].T
        """,
        "x.T @ dz",
        "x.T @ dy",
    ),
    "a cell that makes its parameters and remembers": (
        """
        class Cell:
            def __init__(self, n_out): self.n_out, self.W, self.h = n_out, None, 0.0
            def forward(self, X):
                if self.W is None:
                    self.W = np.random.randn(X.shape[1], self.n_out)
                self.X = X
                self.h = np.tanh(X @ self.W + self.h)
                return self.h
            def backward(self, dh): return dh * (1 - self.h**2) @ self.W.T
        """,
        "1 - self.h**2",
        "1 - self.h",
    ),
    "gradients whose names are cut short": (
        """
        class VAELoss:
            def __call__(self, y, y_pred, t_mean, t_log_var): return self.loss(y, y_pred, t_mean, t_log_var)
            @staticmethod
            def loss(y, y_pred, t_mean, t_log_var):
                p = np.clip(y_pred, 1e-9, 1 - 1e-9)
                rec = -np.sum(y * np.log(p) + (1 - y) * np.log(1 - p), axis=1)
                return np.mean(rec - 0.5 * np.sum(1 + t_log_var - t_mean**2 - np.exp(t_log_var), axis=1))
            @staticmethod
            def grad(y, y_pred, t_mean, t_log_var):
                N = y.shape[0]
                dY_pred = -y / (N * y_pred) - (y - 1) / (N - N * y_pred)
                dLogVar = (np.exp(t_log_var) - 1) / (2 * N)
                dMean = t_mean / N
                return dY_pred, dLogVar, dMean
        """,
        "(2 * N)",
        "N",
    ),
    "shapes that the strings of einsum say": (
        """
        def heads_fwd(q, k, v, *, scale=None):
            s = np.einsum("bhqd,bhkd->bhqk", q, k) * (scale or 0.5)
            p = np.exp(s)
            p = p / p.sum(-1, keepdims=True)
            return np.einsum("bhqk,bhkd->bhqd", p, v), (q, k, v, p)
        def heads_bwd(dout, cache, *, scale=None):
            q, k, v, p = cache
            dp = np.einsum("bhqd,bhkd->bhqk", dout, v)
            ds = p * (dp - (p * dp).sum(-1, keepdims=True)) * (scale or 0.5)
            dq, dk = np.einsum("bhqk,bhkd->bhqd", ds, k), np.einsum("bhqk,bhqd->bhkd", ds, q)
            return dq, dk, np.einsum("bhqk,bhqd->bhkd", p, dout)
        """,
        "(p * dp).sum(-1, keepdims=True)",
        "(p * dp).sum(-2, keepdims=True)",
    ),
    "shapes that a docstring says": (
        """
        def gather_forward(points, grid):
            '''Look up.

            points: array of shape (P, 3)
            grid: array of shape (X, Y, Z)
            '''
            assert points.shape[1] == 3 and grid.ndim == 3
            return points.sum(0).prod() * grid.sum(0), (points, grid)
        def gather_backward(dout, cache):
            points, grid = cache
            s = points.sum(0)
            slope = (dout * grid.sum(0)).sum() * s.prod() / s
            return np.broadcast_to(slope, points.shape), np.broadcast_to(dout * s.prod(), grid.shape)
        """,
        "s.prod() / s",
        "s.prod()",
    ),
    "parameters in slots, of a layer whose base trains": (
        """
        class Param:
            __slots__ = ("data", "grad")
            def __init__(self, data): self.data, self.grad = data, np.zeros_like(data)
        class Module:
            def __init__(self): self.training = False
        class PReLU(Module):
            def __init__(self, cin: int):
                super().__init__()
                self.a = Param(np.full(cin, 0.25))
            def forward(self, x):
                self.x = x
                return np.where(x > 0, x, self.a.data * x) if self.training else x
            def backward(self, gout):
                self.a.grad += (gout * np.where(self.x > 0, 0, self.x)).sum(0)
                return gout * np.where(self.x > 0, 1, self.a.data)
        """,
        "self.x)).sum(0)",
        "self.x)).mean(0)",
    ),
    "a Jacobian by its name": (
        """
        def residuals(p): return np.stack([p[0] * p[1], p[1] - p[2], np.sin(p[0]), p[2] ** 2])
        def residuals_jac(p):
            o = np.zeros_like(p[0])
            return np.array([[p[1], p[0], o], [o, o + 1, o - 1], [np.cos(p[0]), o, o], [o, o, 2 * p[2]]])
        """,
        "o - 1",
        "o + 1",
    ),
    "closures by any name": (
        """
        class Node:
            def __init__(self, value, deps=()):
                self.value, self.deps = np.asarray(value, dtype=float), deps
                self.adjoint, self.pull = np.zeros_like(self.value), lambda: None
        def product(a, b):
            out = Node(a.value * b.value, (a, b))
            def pull():
                a.adjoint += b.value * out.adjoint
                b.adjoint += a.value * out.adjoint
            out.pull = pull
            return out
        """,
        "b.value * out.adjoint",
        "b.value",
    ),
    "several parameters of a loss at once": (
        """
        def loss_and_gradients(W1, b1, W2, X, y):
            h = np.tanh(X @ W1 + b1)
            d = h @ W2 - y
            g = 2 * d / d.size
            dh = (g @ W2.T) * (1 - h**2)
            return (d**2).mean(), (X.T @ dh, dh.sum(0), h.T @ g)
        """,
        "h.T @ g",
        "h.T @ d",
    ),
}


@pytest.mark.parametrize(("source", "right", "wrong"), STYLES.values(), ids=STYLES)
def test_a_right_pass_is_left_in_peace_and_a_wrong_one_caught(
    folder: Path, source: str, right: str, wrong: str
) -> None:
    assert verdicts(folder / "right.py", source) == {"pass"}
    assert right in source
    assert verdicts(folder / "wrong.py", source.replace(right, wrong)) == {"fail"}


def verdicts(file: Path, source: str) -> set[str]:
    file.write_text("import numpy as np\n\n" + dedent(source))
    plan = plan_of([file], jobs=0)
    assert plan.cases, "no backward pass was found"
    return {str(worst([result.verdict for case in plan.cases for result in audit_case(case).results]))}
