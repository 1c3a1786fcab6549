"""Graphs of aten ops, as torch.export and AOTAutograd make them."""
