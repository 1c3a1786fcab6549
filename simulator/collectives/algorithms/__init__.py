"""Ways to carry out collectives, one in a file, in both of its forms; registered when this is imported, in this order.

The textbook's (`gathers`, `exchange`, `rooted`, `at_once`) are by kind of collective, the others by name. Those are tried in
the order in which they are added: of equally cheap ones the first is taken.
"""

# ruff: noqa: I001  (the order is meant)

import simulator.collectives.algorithms.gathers
import simulator.collectives.algorithms.exchange
import simulator.collectives.algorithms.rooted
import simulator.collectives.algorithms.at_once
import simulator.collectives.algorithms.ring
import simulator.collectives.algorithms.ring_one_way
import simulator.collectives.algorithms.direct
import simulator.collectives.algorithms.halving_doubling
import simulator.collectives.algorithms.tree
import simulator.collectives.algorithms.per_axis
import simulator.collectives.algorithms.in_switch  # noqa: F401
