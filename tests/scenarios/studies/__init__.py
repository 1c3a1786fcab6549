"""Studies: points, stores, workers, searches, what-if."""
