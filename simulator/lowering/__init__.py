"""Lowering: kernels on a system become a program of tasks.

`plan` is a kernel with all that the system makes of it; `variants` what each sort of chip has; `resources` seconds on each
resource; `network` and `fabric` the wires; `folding` what stands for what; `task_shapes` and `messages` the tasks.
"""
