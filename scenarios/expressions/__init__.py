"""Expressions over names: arithmetic and comparisons on numbers with units, without eval.

`expression` reads and works out, `operators` has what may be done, `measure` what comes of it (units), `lexing` what
Python's syntax lacks. What a name stands for is asked of the caller.
"""
