"""Topologies: the text that says them, the wirings they are made of, the routes through them and their figures.

`parse_topology("torus(4, 4) over ici", chip.links)` builds one; `Router(topology).route(0, 7)` gives a message's way;
`level_facts`, `diameter` and `overall_cut` say what a network can carry. A new wiring is a `Form` in `FORMS`.
"""

from hw.network.bisection import CLOSED_FORM, Cut, best_cut
from hw.network.facts import LevelFacts, diameter, level_facts, overall_cut, tree_cut
from hw.network.graphs.file import GRAPH_SUFFIXES, MAX_LINKS, MAX_NODES, read_graph
from hw.network.recognition.recognise import walk_from
from hw.network.routing import ROUTINGS, Route, Router, Routing
from hw.network.subwiring import ROUTES
from hw.network.table import link_rows, topology_record
from hw.network.text import parse_topology
from hw.network.topology import MAX_CHIPS, Axis, Level, Topology, Trunk, Wire
from hw.network.wirings.forms import FORMS, Form, one_axis

__all__ = [
    # What a topology is.
    "MAX_CHIPS",
    "Axis",
    "Level",
    "Topology",
    "Trunk",
    "Wire",
    "parse_topology",
    # Wirings.
    "FORMS",
    "Form",
    "one_axis",
    # Files of graphs.
    "GRAPH_SUFFIXES",
    "MAX_LINKS",
    "MAX_NODES",
    "read_graph",
    # Routes.
    "ROUTES",
    "ROUTINGS",
    "Route",
    "Router",
    "Routing",
    "walk_from",
    # Facts.
    "CLOSED_FORM",
    "Cut",
    "LevelFacts",
    "best_cut",
    "diameter",
    "level_facts",
    "link_rows",
    "overall_cut",
    "topology_record",
    "tree_cut",
]
