"""Two layers in C, called with arrays as they are, and with bare addresses."""

import ctypes

import numpy as np
from numpy.ctypeslib import ndpointer

lib = ctypes.CDLL("./liblayers.so")
FLOATS = ndpointer(dtype=np.float32, flags="C_CONTIGUOUS")
lib.gelu_forward.argtypes = [FLOATS, FLOATS, ctypes.c_int]
lib.gelu_backward.argtypes = [FLOATS, FLOATS, FLOATS, ctypes.c_int]
lib.softmax_forward.argtypes = [ctypes.c_void_p, ctypes.c_void_p, ctypes.c_int, ctypes.c_int, ctypes.c_int]
x = np.random.randn(8, 8).astype(np.float32)
out, dx, dout = np.zeros_like(x), np.zeros_like(x), np.ones_like(x)
lib.gelu_forward(out, x, 64)
lib.gelu_backward(dx, x, dout, x.size)
lib.softmax_forward(out.ctypes.data, x.ctypes.data, 2, 4, 8)
address = ctypes.c_void_p(dout.ctypes.data)
lib.softmax_backward(dx.ctypes.data_as(ctypes.c_void_p), address, out.ctypes.data_as(ctypes.c_void_p), 2, 4, 8)
