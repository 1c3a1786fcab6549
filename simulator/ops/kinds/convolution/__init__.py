"""Convolution, pooling and batch norm, forwards and backwards."""
