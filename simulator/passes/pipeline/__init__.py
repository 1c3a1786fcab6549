"""Pipelines: the order in which stages go about their microbatches, and a whole step put together in that order."""
