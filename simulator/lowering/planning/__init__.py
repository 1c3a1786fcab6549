"""A plan: its kernels, what each sort of chip makes of one, and the whole with its program."""
