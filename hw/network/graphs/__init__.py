"""Wirings drawn as graphs: read from files or from networkx, checked, and laid as wires."""
