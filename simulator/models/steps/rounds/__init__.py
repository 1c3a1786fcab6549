"""Rounds of the blocks of ops that repeat, and the layers of a model in them."""
