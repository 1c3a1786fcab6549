"""Ops bound once for all that are alike; their kernels are stamped out as columns."""
