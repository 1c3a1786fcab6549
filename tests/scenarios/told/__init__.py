"""Long jobs of scenarios."""
