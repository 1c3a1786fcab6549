"""The engine: a program of tasks run through queues on a SimPy environment.

`program` is all that it reads; `engine` starts and ends tasks, `turns` says whose turn it is; `fluid_pool` holds the flows
on shared resources and `fairness` their rates; `clock` counts whole picoseconds; `bounds` need no run.
"""
