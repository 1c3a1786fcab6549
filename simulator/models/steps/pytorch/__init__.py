"""What PyTorch's own sharding (FSDP2) and pipelines hold in a training step."""
