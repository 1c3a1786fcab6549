"""How chips that share a sequence attend to all of it."""
