"""Op graphs, independent of any hardware: what they are made of, how they are written, how their blocks unroll.

`items` tensors, ops and blocks; `op_graph` a program of them; `text` and `op_line` the one-line form, read and printed;
`unroll` and `blocks` rounds; `split` and `shares` how a dim is shared out over unlike chips; `dtypes` number formats.
"""
