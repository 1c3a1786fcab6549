"""Attention: its forward and its backward pass, and the pairs that a mask leaves."""
