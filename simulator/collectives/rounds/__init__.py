"""Collectives message by message: `build` carries out each algorithm, round by round."""
