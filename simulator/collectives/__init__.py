"""Collectives: what each asks of the wires, as one task in closed form and message by message.

`transfer`, `group`, `request`, `rounds` and `form` have the words; `axes` what is done along each kind of axis; `algorithms`
the ways to carry a collective out, one in a file; `registry` where they are added, `choice` which is taken; `flight` says
how long messages take.
"""
