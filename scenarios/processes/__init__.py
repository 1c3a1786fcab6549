"""What runs beside the ops: data loaders."""
