"""A run on one screen of text."""

from analysis.terminal.screen import screen

__all__ = ["screen"]
