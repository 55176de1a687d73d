import numpy as np

np.random.seed(0)


def sigmoid(z):
    return 1.0 / (1.0 + np.exp(-z))


def sigmoid_prime(z):
    return sigmoid(z) * (1 - sigmoid(z))


def tanh(x):
    return np.tanh(x)


def tanh_prime(x):
    return 1 - np.tanh(x) ** 2


def relu(x):
    return np.maximum(x, 0)


def relu_prime(x):
    return (x > 0).astype(float)


def softplus(x):
    return np.log1p(np.exp(x))


def softplus_prime(x):
    return sigmoid(-x)  # wrong sign


def leaky_relu(x, alpha=0.01):
    return np.where(x > 0, x, alpha * x)


def d_leaky_relu(x, alpha=0.01):
    return np.where(x > 0, 1.0, alpha)


def mse(y_true, y_pred):
    return np.mean(np.power(y_true - y_pred, 2))


def mse_prime(y_true, y_pred):
    return 2 * (y_pred - y_true) / np.size(y_true)


def loss_and_grad(w, X, y, reg=0.1):
    scores = X @ w
    p = sigmoid(scores)
    n = len(y)
    loss = -np.mean(y * np.log(p) + (1 - y) * np.log(1 - p)) + 0.5 * reg * np.sum(w * w)
    grad = X.T @ (p - y) / n + reg * w
    return loss, grad


def ridge_loss_and_grad(w, X, y, lam=0.5):
    r = X @ w - y
    return np.sum(r**2) / len(y) + lam * np.sum(w**2), 2 * X.T @ r / len(y) + lam * w  # wrong: 2 * lam


X = np.random.randn(200, 5)
true_w = np.random.randn(5)
y = (sigmoid(X @ true_w) > 0.5).astype(float)
w = np.zeros(5)
for step in range(100):
    loss, grad = loss_and_grad(w, X, y)
    w -= 0.5 * grad
    if step % 20 == 0:
        print("step", step, "loss", loss)
open("weights.txt", "w").write(str(w))
