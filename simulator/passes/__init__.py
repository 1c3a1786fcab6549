"""What is done to a graph on its way to a system: checked, bound, planned, fused, placed.

`binding` makes kernels of ops (`checks` before it, `stamping` for all that are alike); `sharding` and `planner` insert
collectives; `fusion` joins kernels; `placement` says which chips run one; `pipeline`
puts a step together from the chunks of a model; `members`, `parts` and `holding` what they have.
"""
