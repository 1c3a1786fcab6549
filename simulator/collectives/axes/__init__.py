"""Collectives along one axis: the forms of each kind of axis in a file of its own, registered when this is imported."""

import simulator.collectives.axes.fabric
import simulator.collectives.axes.full
import simulator.collectives.axes.line
import simulator.collectives.axes.one_way_ring
import simulator.collectives.axes.ring
import simulator.collectives.axes.routed  # noqa: F401
