"""Which runs a study has: grids, rows and samples of values; what is drawn (`sampling`), what is worked out (`derived`)."""
