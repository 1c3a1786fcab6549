"""The wirings that have a name: lattices, full meshes, switches, trees, dragonflies."""
