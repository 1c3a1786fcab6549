"""Sharding annotations: what they demand of an op (`rules`), the assignment of mesh axes that meets it, and the moves
to it."""
