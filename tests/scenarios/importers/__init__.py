"""Importers: graphs and traces of other tools."""
