"""Many runs of one scenario as a table (`sweeps`): made here or by others (`worker`, `executors`), and kept (`store`).

`sweep(scenario, changes)` stands at the door of the room, `scenarios`.
"""
