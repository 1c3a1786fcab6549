"""Frames, words, paths, reports and pictures."""
