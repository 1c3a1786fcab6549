"""Kinds of ops, and what each costs: a registry, and one file for each family in `simulator.ops.kinds`.

`registry` turns a call into kernels; `kernel` is what a chip executes; `options` what an op can be told; `loops` which
loop runs over each dim; `tiling` the tiles that fit on the chip; `views` ops that only give a tensor another name.
"""
