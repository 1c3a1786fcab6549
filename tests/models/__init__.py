"""Models as plain data: descriptions, the catalogue, and a hub's config.json."""
