"""Laws of the model over random programs, systems and groups."""
