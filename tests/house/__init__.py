"""The code itself: doors, layers, habits."""
