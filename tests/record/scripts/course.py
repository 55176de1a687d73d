"""A small network on course functions with caches: the batch is as large as the layers are wide."""

import numpy as np
from layers import *

rng = np.random.RandomState(0)
N = D = H = 8
images = rng.randn(4, 3, 8, 8)
w0, b0 = rng.randn(4, 3, 3, 3) * 0.1, np.zeros(4)
w1, b1 = rng.randn(4 * 4 * 4, H) * 0.1, np.zeros(H)
w2, b2 = rng.randn(H, H) * 0.01, np.zeros(H)
gamma, beta = np.ones(H), np.zeros(H)
bn_param = {"mode": "train"}
labels = rng.randint(0, H, size=4)
for step in range(12):
    c, conv_cache = conv_forward_naive(images, w0, b0, {"stride": 1, "pad": 1})
    r, relu_cache = relu_forward(c)
    p, pool_cache = max_pool_forward_naive(r, {"pool_height": 2, "pool_width": 2, "stride": 2})
    a, affine_cache = affine_forward(p, w1, b1)
    n, norm_cache = batchnorm_forward(a, gamma, beta, bn_param)
    d, drop_cache = dropout_forward(n, {"p": 0.7, "mode": "train", "seed": step})
    scores, last_cache = affine_forward(d, w2, b2)
    loss, dscores = softmax_loss(scores, labels) if step % 2 else svm_loss(scores, labels)
    dd, dw2, db2 = affine_backward(dscores, last_cache)
    dn = dropout_backward(dd, drop_cache)
    da, dgamma, dbeta = batchnorm_backward(dn, norm_cache)
    dp, dw1, db1 = affine_backward(da, affine_cache)
    dr = max_pool_backward_naive(dp, pool_cache)
    dc = relu_backward(dr, relu_cache)
    _, dw0, db0 = conv_backward_naive(dc, conv_cache)
    for value, slope in ((w0, dw0), (b0, db0), (w1, dw1), (b1, db1), (w2, dw2), (b2, db2), (gamma, dgamma)):
        value -= 1e-4 * slope
