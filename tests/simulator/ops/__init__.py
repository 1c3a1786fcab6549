"""What ops are, cost, and become: text, dims, tiles, fusion, blocks."""
