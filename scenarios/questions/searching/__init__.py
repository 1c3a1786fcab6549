"""The best layout of a model's training: which there are, what none of them is below, and which of them are run."""
