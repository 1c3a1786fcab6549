"""What a forward pass leaves for the backward pass."""
