"""Op graphs, collectives, the sharding planner, the engine."""
