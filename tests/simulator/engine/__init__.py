"""The engine: against an exact oracle, fair shares, folding, deadlocks."""
