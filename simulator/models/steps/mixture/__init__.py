"""Ways through a mixture of experts other than slots."""
