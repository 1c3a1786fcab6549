"""What cuBLAS keeps of a chip's memory, whichever framework calls it.

Model: a workspace for each thread (and stream) that runs matmuls, for as long as the process lives: one of the forward and
one of the backward thread, and one of cublasLt, which both Transformer Engine and PyTorch call.
Assumes: a GPU of the Hopper generation or later (before, workspaces were smaller).
Source: PyTorch, aten/src/ATen/cuda/CUDABlas.cpp; Transformer Engine, pytorch/module/base.py
(get_cublas_workspace_size_bytes).
"""

from __future__ import annotations

WORKSPACE = 32 * 2**20
"""Bytes of a workspace."""

EVERYWHERE = 3
"""How many there are in every step: of the forward thread, of the backward thread, and cublasLt's."""
