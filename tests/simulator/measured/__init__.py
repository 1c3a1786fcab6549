"""How long kernels take on a chip that was measured."""
