"""What Megatron-LM does otherwise in a training step, and what it holds."""
