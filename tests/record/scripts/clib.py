"""Layers in C, called by ctypes: sequences are as long as the batch is large, and as wide."""

import ctypes

import numpy as np

lib = ctypes.CDLL("./liblayers.so")
FLOATS, INTS = ctypes.POINTER(ctypes.c_float), ctypes.POINTER(ctypes.c_int)
rng = np.random.default_rng(0)
B = T = C = V = 4
NH = 2


def ptr(array):
    return array.ctypes.data_as(FLOATS if array.dtype == np.float32 else INTS)


def floats(*shape):
    return rng.normal(size=shape).astype(np.float32)


def zeros(*shape):
    return np.zeros(shape, np.float32)


tokens, targets = rng.integers(0, V, (B, T)).astype(np.int32), rng.integers(0, V, (B, T)).astype(np.int32)
wte, wpe = floats(V, C), floats(T, C)
lnw, lnb, w, bias, wqkv, qkvb = floats(C), floats(C), floats(V, C), floats(V), floats(3 * C, C), floats(3 * C)
for _ in range(3):
    embedded, normed, mean, rstd = zeros(B, T, C), zeros(B, T, C), zeros(B, T), zeros(B, T)
    qkv, preatt, att, mixed = zeros(B, T, 3 * C), zeros(B, NH, T, T), zeros(B, NH, T, T), zeros(B, T, C)
    summed, active, logits, probs, losses = zeros(B, T, C), zeros(B, T, C), zeros(B, T, V), zeros(B, T, V), zeros(B, T)
    lib.encoder_forward(ptr(embedded), ptr(tokens), ptr(wte), ptr(wpe), B, T, C)
    lib.layernorm_forward(ptr(normed), ptr(mean), ptr(rstd), ptr(embedded), ptr(lnw), ptr(lnb), B, T, C)
    lib.linear_forward(ptr(qkv), ptr(normed), ptr(wqkv), ptr(qkvb), B, T, C, 3 * C)
    lib.attention_forward(ptr(mixed), ptr(preatt), ptr(att), ptr(qkv), B, T, C, NH)
    lib.residual_forward(ptr(summed), ptr(mixed), ptr(embedded), B * T * C)
    lib.gelu_forward(ptr(active), ptr(summed), B * T * C)
    lib.linear_forward(ptr(logits), ptr(active), ptr(w), ptr(bias), B, T, C, V)
    lib.softmax_forward(ptr(probs), ptr(logits), B, T, V)
    lib.crossentropy_forward(ptr(losses), ptr(probs), ptr(targets), B, T, V)
    dlosses = np.full((B, T), 1 / (B * T), np.float32)
    dprobs, dlogits, dactive, dw, dbias = zeros(B, T, V), zeros(B, T, V), zeros(B, T, C), zeros(V, C), zeros(V)
    dsummed, dmixed, dembedded, dqkv = zeros(B, T, C), zeros(B, T, C), zeros(B, T, C), zeros(B, T, 3 * C)
    dpreatt, datt, dnormed, dwqkv, dqkvb = (
        zeros(B, NH, T, T),
        zeros(B, NH, T, T),
        zeros(B, T, C),
        zeros(3 * C, C),
        zeros(3 * C),
    )
    dlnw, dlnb, dwte, dwpe = zeros(C), zeros(C), zeros(V, C), zeros(T, C)
    lib.crossentropy_backward(ptr(dprobs), ptr(dlosses), ptr(probs), ptr(targets), B, T, V)
    lib.softmax_backward(ptr(dlogits), ptr(dprobs), ptr(probs), B, T, V)
    lib.linear_backward(ptr(dactive), ptr(dw), ptr(dbias), ptr(dlogits), ptr(active), ptr(w), B, T, C, V)
    lib.gelu_backward(ptr(dsummed), ptr(summed), ptr(dactive), B * T * C)
    lib.residual_backward(ptr(dmixed), ptr(dembedded), ptr(dsummed), B * T * C)
    lib.attention_backward(ptr(dqkv), ptr(dpreatt), ptr(datt), ptr(dmixed), ptr(qkv), ptr(att), B, T, C, NH)
    lib.linear_backward(ptr(dnormed), ptr(dwqkv), ptr(dqkvb), ptr(dqkv), ptr(normed), ptr(wqkv), B, T, C, 3 * C)
    lib.layernorm_backward(
        ptr(dembedded), ptr(dlnw), ptr(dlnb), ptr(dnormed), ptr(embedded), ptr(lnw), ptr(mean), ptr(rstd), B, T, C
    )
    lib.encoder_backward(ptr(dwte), ptr(dwpe), ptr(dembedded), ptr(tokens), B, T, C)
