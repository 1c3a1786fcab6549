"""Collectives: what each asks of the wires, as one task in closed form and message by message.

`transfer` has the words; `canonical` the textbook's way, along `one_axis` or `several_axes`, by `exchange` or in `streams`;
`algorithms` the other ways by name, and `choice` which is taken; `rounds` their messages; `flight` how long messages take.
"""
