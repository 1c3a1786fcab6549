"""What words are worked out over: columns of the lives of tensors, and of what differs in rounds only."""
