"""Topologies: the text that says them, the wirings they are made of, the routes through them and their figures.

`parse_topology("torus(4, 4) over ici", chip.links)` builds one; `Router(topology).route(0, 7)` gives a message's way;
`level_facts`, `diameter` and `overall_cut` say what a network can carry. `WIRINGS` has all that
is known of each wiring; a new one is one object.
"""

from hw.network.axes import Axis
from hw.network.bisection import CLOSED_FORM, Bisection, best_cut
from hw.network.columns import WireColumns
from hw.network.facts import LevelFacts, diameter, level_facts, overall_cut
from hw.network.graphs.file import GRAPH_SUFFIXES, MAX_LINKS, MAX_NODES, read_graph
from hw.network.picture import Picture, drawn_level, map_places
from hw.network.recognition.recognise import walk_by, walk_from
from hw.network.routing import ROUTINGS, Route, Router, Routing
from hw.network.shape import WiringShape
from hw.network.table import link_rows, topology_record
from hw.network.text import parse_topology
from hw.network.topology import MAX_CHIPS, Level, Node, Topology, Trunk, Wire
from hw.network.wirings import WIRINGS, Canvas, Instance, Site, Wiring, add_wiring, written_wirings
from hw.network.wirings.canvas import WIDTH as PICTURE_WIDTH
from hw.network.wirings.custom import GRAPH as _GRAPH
from hw.network.wirings.custom import ROUTED, routed_axis
from hw.network.wirings.fat_tree import tree_cut

GRAPH = _GRAPH.name
"""The kind of the axis of a graph in which no wiring was recognised."""

ROUTES = ROUTED.name
"""The kind of the axis of chips that form no wiring."""

__all__ = [
    # What a topology is.
    "MAX_CHIPS",
    "Axis",
    "Level",
    "Node",
    "Topology",
    "Trunk",
    "Wire",
    "parse_topology",
    # Wirings.
    "WIRINGS",
    "Canvas",
    "Instance",
    "Site",
    "Wiring",
    "WiringShape",
    "add_wiring",
    "written_wirings",
    # Files of graphs.
    "GRAPH_SUFFIXES",
    "MAX_LINKS",
    "MAX_NODES",
    "read_graph",
    # Wires as columns.
    "WireColumns",
    # Routes.
    "GRAPH",
    "ROUTES",
    "ROUTINGS",
    "Route",
    "Router",
    "Routing",
    "routed_axis",
    "walk_by",
    "walk_from",
    # Facts.
    "CLOSED_FORM",
    "Bisection",
    "LevelFacts",
    "best_cut",
    "diameter",
    "level_facts",
    "link_rows",
    "overall_cut",
    "topology_record",
    "tree_cut",
    # Pictures.
    "PICTURE_WIDTH",
    "Picture",
    "drawn_level",
    "map_places",
]
