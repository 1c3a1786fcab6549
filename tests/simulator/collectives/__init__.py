"""Collectives: closed forms, algorithms, messages, groups, unequal parts."""
