"""How libraries carry out the ops of a step: what of it is several kernels, and what comes before a cast."""
