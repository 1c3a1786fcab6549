"""The scenarios whose whole command is measured, as a user would write them."""

from __future__ import annotations

_CHAIN = """
name: chain
system: {{chip: h100_sxm}}
workload:
  dims: {{B: 4096, D: 4096}}
  ops:
    - x0:bf16[B,D] = relu(xx:bf16[B,D])
    - repeat: {rounds}
      carry: {{x0: x{last}}}
      ops:
{lines}run: {{overlap: full}}
"""

_WRITTEN_OUT = """
name: written-out
system: {chip: h100_sxm}
workload:
  dims: {B: 4096, D: 4096}
  ops:
    - x0:bf16[B,D] = relu(xx:bf16[B,D])
"""

LAYERS = """
name: layers
system: {chip: h100_sxm, topology: ["switch(8) over nvlink", "switch(2048) over infiniband"], mesh: {X: 2048, Y: 8}}
workload:
  dims: {B: 65536, D: 4096, F: 16384}
  ops:
    - x0:bf16[B_X,D] = relu(xx:bf16[B_X,D])
    - repeat: 126
      carry: {x0: z}
      ops:
        - h:bf16[B_X,F_Y] = matmul(x0, w1:bf16[D,F_Y])
        - y:bf16[B_X,D]{U_Y} = matmul(h, w2:bf16[F_Y,D])
        - z:bf16[B_X,D] = all_reduce(y, over=Y)
        - g1:bf16[D,F_Y]{U_X} = matmul(gx:bf16[D,B_X], gh:bf16[B_X,F_Y])
        - g2:bf16[D,F_Y] = all_reduce(g1, over=X, queue=dp)
        - e:bf16[B_X,D] = relu(z)
run: {overlap: full}
"""
"""126 layers of sharded matmuls with all-reduces over tensor- and data-parallel axes, on 16,384 alike chips."""

HOSTS = """
name: hosts
system: {base: dgx_h100, nodes: 64}
workload:
  dims: {B: 1024, D: 1024}
  ops:
    - x0:bf16[B,D] = relu(xx:bf16[B,D])
    - repeat: 300
      carry: {x0: y}
      ops:
        - y:bf16[B,D] = matmul(x0, w:bf16[D,D]@host)
"""
"""300 matmuls whose weights 512 chips read from 64 hosts."""

_UNLIKE = """
name: unlike
system:
  chips: [{chip: h100_sxm, count: 128}, {chip: a100_80gb_sxm, count: 128}]
  topology: switch(256) over nvlink
  mesh: {X: 256}
workload:
  split: proportional
  dims: {B: 262144, D: 4096}
  ops:
    - x0:bf16[B_X,D] = relu(xx:bf16[B_X,D])
"""

MESSAGES = """
name: messages
system: {chip: tpu_v5e, topology: ring(512), mesh: {X: 512}}
workload:
  dims: {N: 33554432}
  ops:
    - y:bf16[N] = all_reduce(x:bf16[N]{U_X}, over=X)
run: {network: messages, collectives: ring_one_way, fold: false}
"""
"""A ring all-reduce of 64 MiB on 512 chips, message by message, no chip standing for another: 523,264 messages."""

ALL_REDUCE = (
    MESSAGES.replace("512", "1024")
    .replace(", collectives: ring_one_way, fold: false", "")
    .replace("network: messages", "network: task")
)


def chain(rounds: int, ops: int) -> str:
    """So many rounds of so many matmuls each on one chip."""
    lines = (f"        - x{at + 1}:bf16[B,D] = matmul(x{at}, w{at}:bf16[D,D])\n" for at in range(ops))
    return _CHAIN.format(rounds=rounds, last=ops, lines="".join(lines))


def written_out(kernels: int) -> str:
    """So many matmuls on one chip, each an op line of its own."""
    lines = (f"    - x{at + 1}:bf16[B,D] = matmul(x{at}, w{at}:bf16[D,D])\n" for at in range(kernels))
    return _WRITTEN_OUT + "".join(lines)


def unlike(kernels: int) -> str:
    """So many matmuls, each with weights of its own, in proportion to speed on 256 chips of two kinds."""
    lines = (f"    - x{at + 1}:bf16[B_X,D] = matmul(x{at}, w{at}:bf16[D,D])\n" for at in range(kernels))
    return _UNLIKE + "".join(lines)


LLAMA_8B = """
name: llama3-8b
system: {base: dgx_h100}
workload:
  model: llama3_8b
  mode: train
  batch: 16
  seq: 8192
  parallel: {tp: 2, dp: 4, zero: 1}
  recompute: selective
run: {overlap: full}
"""

GPT3 = """
name: gpt3-175b
system: {chip: a100_80gb_sxm, topology: ["switch(8) over nvlink", "fat_tree(128) over infiniband"]}
workload:
  model: gpt3_175b
  mode: train
  batch: 512
  seq: 2048
  parallel: {tp: 8, pp: 16, dp: 8}
"""
"""1F1B over 16 stages, 64 microbatches."""

GPT3_MEASURED = GPT3.replace("name: gpt3-175b", "name: gpt3-measured") + "run: {calibration: measured}\n"
"""The same as measured machines would do it, whose tasks hold units of their chips."""

GPT3_ON_512 = """
name: gpt3-on-512-a100
system: {chip: a100_80gb_sxm, topology: ["switch(8) over nvlink", "fat_tree(64) over infiniband"]}
workload: {model: gpt3_175b, mode: train, batch: 1536, seq: 2048}
"""
"""For a search."""

LLAMA_405B = """
name: llama3-405b
system: {chip: h100_sxm, topology: ["switch(8) over nvlink", "fat_tree(2048) over infiniband"]}
workload:
  model: llama3_405b
  mode: train
  batch: 2048
  seq: 8192
  parallel: {tp: 8, pp: 16, dp: 128, zero: 1, layers: [7, 8, 8, 8, 8, 8, 8, 8, 8, 8, 8, 8, 8, 8, 8, 7]}
  recompute: full
"""
"""16 microbatches."""
