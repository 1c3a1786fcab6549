"""The scenario language: what a file may hold, and how it becomes a document with the place of every value.

`scenario_spec` and the other specs are models of the sections; `source` finds, reads and extends files; `variants` puts
other values at dotted paths, `paths` says which paths there are, `schema` makes the JSON Schema of it all.
"""
