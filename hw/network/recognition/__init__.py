"""What a graph is a picture of: rings, lattices, meshes and trees found in it, whatever its nodes are called."""
