"""The end of a training step, behind the backward pass of its last microbatch."""
