"""What a step is built of, for each family of models: its parts, chunk by chunk, and the sizes of their dims."""
