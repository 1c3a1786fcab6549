"""The guide and README: their pages run."""
