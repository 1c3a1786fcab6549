"""What of a forward pass is run again for the backward pass."""
