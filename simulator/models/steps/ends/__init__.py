"""The ops before a model's first block and behind its last: what is read, what is told, and the loss."""
