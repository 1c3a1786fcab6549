"""What is asked of a run in words: claims of `expect`, conditions of searches, the order of a study's rows.

All are expressions; `scope` says what they may name.
"""
