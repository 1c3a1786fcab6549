"""What of a training step lives in the memory of the host."""
