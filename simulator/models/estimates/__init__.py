"""Estimates of training steps: bounds of their time and what they hold, from what is distinct, without a simulation."""
