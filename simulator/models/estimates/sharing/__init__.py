"""What passes take whose kernels share a chip with what goes on beside them."""
