"""The engine: a program of tasks run through queues on a SimPy environment.

`program` is all that it reads; `engine` starts and ends tasks, `turns` says whose turn it is; `fluid_pool` holds the flows
on shared resources, `uses` which resources can be full, and `fairness` the rates; `paced` has the times of what nobody
shares anything with; `clock` counts whole picoseconds; `bounds` need no run.
"""
