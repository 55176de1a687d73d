"""Torch models in ten common styles, right or with faults: a branch cut off, a wrong backward, a term left out of one.

Lines are marked with the fault that they may have.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import nn
from torch.nn import functional
from torch.utils.checkpoint import checkpoint


class Swish(torch.autograd.Function):
    """Where it is wrong, backward forgets that the gate moves too."""

    @staticmethod
    def forward(ctx: Any, x: Any, wrong: bool) -> Any:
        ctx.save_for_backward(x)
        ctx.wrong = wrong
        return x * torch.sigmoid(x)

    @staticmethod
    def backward(ctx: Any, upstream: Any) -> Any:
        (x,) = ctx.saved_tensors
        gate = torch.sigmoid(x)
        return upstream * (gate if ctx.wrong else gate * (1 + x * (1 - gate))), None


class Norm(torch.autograd.Function):
    """Rows with mean 0 and deviation 1; where it is wrong, backward leaves out the term of the deviation."""

    @staticmethod
    def forward(ctx: Any, x: Any, wrong: bool) -> Any:
        centred = x - x.mean(-1, keepdim=True)
        scale = (centred.pow(2).mean(-1, keepdim=True) + 1e-3).rsqrt()
        ctx.save_for_backward(centred * scale, scale)
        ctx.wrong = wrong
        return centred * scale

    @staticmethod
    def backward(ctx: Any, upstream: Any) -> Any:
        made, scale = ctx.saved_tensors
        off = 0 if ctx.wrong else made * (upstream * made).mean(-1, keepdim=True)
        return scale * (upstream - upstream.mean(-1, keepdim=True) - off), None


class Styled(nn.Module):
    """A model that knows its faults: ``cut``, ``wrong``, ``missing``."""

    def __init__(self, faults: str) -> None:
        super().__init__()
        self.cut, self.wrong, self.missing = (fault in faults.split() for fault in ("cut", "wrong", "missing"))


class Mlp(Styled):
    def __init__(self, faults: str) -> None:
        super().__init__(faults)
        self.one, self.two, self.gate, self.out = nn.Linear(4, 6), nn.Linear(6, 6), nn.Linear(6, 6), nn.Linear(6, 2)

    def forward(self, x: Any) -> Any:
        h = Swish.apply(self.one(x), self.wrong)  # wrong
        gate = torch.sigmoid(self.gate(h))
        gate = gate.detach() if self.cut else gate  # cut
        h = Norm.apply(self.two(h), self.missing) * gate  # missing
        return self.out(h)


class Cnn(Styled):
    def __init__(self, faults: str) -> None:
        super().__init__(faults)
        self.conv, self.norm = nn.Conv2d(1, 3, 3, padding=1), nn.BatchNorm2d(3)
        self.next, self.excite, self.out = nn.Conv2d(3, 4, 2), nn.Linear(4, 4), nn.Linear(4, 2)

    def forward(self, x: Any) -> Any:
        h = self.norm(self.conv(x.view(-1, 1, 2, 2)))
        h = Swish.apply(h, self.wrong)  # wrong
        h = self.next(functional.dropout(h, 0.2)).mean((2, 3))
        with torch.set_grad_enabled(not self.cut):
            excited = torch.sigmoid(self.excite(h))  # cut
        return self.out(Norm.apply(h, self.missing) * excited)  # missing


class Residual(Styled):
    def __init__(self, faults: str) -> None:
        super().__init__(faults)
        self.stem, self.conv, self.norm = nn.Conv2d(1, 3, 1), nn.Conv2d(3, 3, 3, padding=1), nn.BatchNorm2d(3)
        self.again, self.last, self.out = nn.Conv2d(3, 3, 3, padding=1), nn.BatchNorm2d(3), nn.Linear(12, 2)

    def forward(self, x: Any) -> Any:
        x = self.stem(x.view(-1, 1, 2, 2))
        h = Swish.apply(self.norm(self.conv(x)), self.wrong)  # wrong
        h = self.last(self.again(h))
        h = x + h.data if self.cut else x + h  # cut
        h = Norm.apply(h.flatten(1), self.missing)  # missing
        return self.out(functional.relu(h, inplace=True))


class Lstm(Styled):
    def __init__(self, faults: str) -> None:
        super().__init__(faults)
        self.rows, self.lstm, self.out = nn.Linear(1, 3), nn.LSTM(3, 4, batch_first=True), nn.Linear(4, 2)
        self.attend = nn.Linear(4, 1)

    def forward(self, x: Any) -> Any:
        h = Swish.apply(self.rows(x[..., None]), self.wrong)  # wrong
        h, _ = self.lstm(h)
        weights = torch.softmax(self.attend(h), 1)
        weights = torch.tensor(weights.tolist(), dtype=h.dtype) if self.cut else weights  # cut
        return self.out(Norm.apply((h * weights).sum(1), self.missing))  # missing


class Gru(Styled):
    """A cell of one's own, called in a loop."""

    def __init__(self, faults: str) -> None:
        super().__init__(faults)
        self.inner, self.outer, self.out = nn.Linear(1, 12), nn.Linear(4, 12, bias=False), nn.Linear(4, 2)
        self.start = nn.Parameter(torch.randn(4))

    def forward(self, x: Any) -> Any:
        h = self.start.expand(len(x), 4)
        for k in range(x.shape[1]):
            update, reset, own = (self.inner(x[:, k : k + 1])).chunk(3, -1)
            past, forget, kept = self.outer(h).chunk(3, -1)
            z = torch.sigmoid(update + past)
            z = z.detach() if self.cut else z  # cut
            made = Swish.apply(own + torch.sigmoid(reset + forget) * kept, self.wrong)  # wrong
            h = (1 - z) * made + z * h
        return self.out(Norm.apply(h, self.missing))  # missing


class Transformer(Styled):
    """Tokens, one embedding for the way in and the way out, and a mask of what comes later."""

    def __init__(self, faults: str) -> None:
        super().__init__(faults)
        self.tokens, self.where = nn.Embedding(5, 6), nn.Parameter(torch.randn(4, 6))
        self.qkv, self.mix = nn.Linear(6, 18), nn.Linear(6, 6)
        self.wide, self.narrow, self.head = nn.Linear(6, 8), nn.Linear(8, 6), nn.Linear(6, 5, bias=False)
        self.head.weight = self.tokens.weight

    def forward(self, x: Any) -> Any:
        h = self.tokens(x.abs().mul(7).long() % 5) + self.where
        q, k, v = self.qkv(Norm.apply(h, self.missing)).view(-1, 4, 3, 2, 3).permute(2, 0, 3, 1, 4)  # missing
        scores = (q @ k.transpose(-1, -2)) / 3**0.5
        scores = scores.masked_fill(torch.ones(4, 4, dtype=torch.bool).triu(1), -torch.inf)
        made = (torch.softmax(scores, -1) @ v).transpose(1, 2).flatten(2)
        made = made.clone().detach() if self.cut else made  # cut
        h = h + self.mix(made)
        h = h + self.narrow(Swish.apply(self.wide(h), self.wrong))  # wrong
        return self.head(h)[..., :2].mean(1)


class Experts(Styled):
    """Each row goes to the expert that its gate is largest for."""

    def __init__(self, faults: str) -> None:
        super().__init__(faults)
        self.route, self.out = nn.Linear(4, 3), nn.Linear(5, 2)
        self.experts = nn.ModuleList([nn.Linear(4, 5) for _ in range(3)])

    def forward(self, x: Any) -> Any:
        gates = torch.softmax(self.route(x), -1)
        top, chosen = gates.max(-1)
        top = top.detach() if self.cut else top  # cut
        made = x.new_zeros(len(x), 5)
        for k, expert in enumerate(self.experts):
            rows = (chosen == k).nonzero()[:, 0]
            made = made.index_add(0, rows, Swish.apply(expert(x[rows]), self.wrong))  # wrong
        return self.out(Norm.apply(made, self.missing) * top[:, None])  # missing


class Unet(Styled):
    def __init__(self, faults: str) -> None:
        super().__init__(faults)
        self.first, self.down = nn.Conv2d(1, 3, 3, padding=1), nn.Conv2d(3, 4, 2, stride=2)
        self.up, self.last = nn.ConvTranspose2d(4, 3, 2, stride=2), nn.Conv2d(6, 1, 1)
        self.out = nn.Linear(4, 2)

    def forward(self, x: Any) -> Any:
        skip = torch.tanh(self.first(x.view(-1, 1, 2, 2)))
        h = Swish.apply(self.down(functional.avg_pool2d(skip, 1)), self.wrong)  # wrong
        h = self.up(Norm.apply(h.flatten(1), self.missing).view_as(h))  # missing
        skip = torch.as_tensor(skip.detach().numpy()) if self.cut else skip  # cut
        return self.out(self.last(torch.cat([h, skip], 1)).flatten(1))


class Checkpointed(Styled):
    def __init__(self, faults: str) -> None:
        super().__init__(faults)
        self.stem, self.one, self.two, self.out = nn.Linear(4, 6), nn.Linear(6, 6), nn.Linear(6, 6), nn.Linear(6, 2)

    def block(self, layer: Any, h: Any) -> Any:
        made = Swish.apply(layer(h), self.wrong)  # wrong
        made = made.detach() if self.cut else made  # cut
        return h + functional.dropout(made, 0.2)

    def forward(self, x: Any) -> Any:
        h = self.stem(x)
        h = checkpoint(self.block, self.one, h, use_reentrant=True)
        h = checkpoint(self.block, self.two, h, use_reentrant=False)
        return self.out(Norm.apply(h, self.missing))  # missing


class Autocast(Styled):
    def __init__(self, faults: str) -> None:
        super().__init__(faults)
        self.one, self.two, self.gate, self.out = nn.Linear(4, 6), nn.Linear(6, 6), nn.Linear(4, 6), nn.Linear(6, 2)

    def forward(self, x: Any) -> Any:
        with torch.autocast("cpu", torch.bfloat16):
            h = Swish.apply(self.one(x).to(x.dtype), self.wrong)  # wrong
            h = Norm.apply(self.two(h).to(x.dtype), self.missing)  # missing
            gate = torch.sigmoid(self.gate(x))
            gate = gate.detach() if self.cut else gate  # cut
        return self.out(h * gate.to(h.dtype))


STYLES = {
    kind.__name__: kind for kind in (Mlp, Cnn, Residual, Lstm, Gru, Transformer, Experts, Unet, Checkpointed, Autocast)
}


def build(style: str, faults: str = "") -> Any:
    torch.manual_seed(0)
    return STYLES[style](faults)


def loss(output: Any, wanted: Any) -> Any:
    return ((output - wanted) ** 2).mean()
