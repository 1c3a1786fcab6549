"""What large graphs cost, whole command: CPU seconds and memory of `overlapse run`, each in a process of its own.

Cases: 10,000 and 100,000 matmuls on one chip in one block; 126 layers of sharded matmuls with tensor- and data-parallel
all-reduces on 16,384 alike chips (757 kernels); 300 matmuls whose weights 512 chips read from 64 hosts;
1,000 matmuls, each with weights of its own, in proportion to speed on 256 chips of two kinds.
Run: python -m benchmarks.large_graphs
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from pathlib import Path

CHAIN = """
name: chain
system: {{chip: h100_sxm}}
workload:
  dims: {{B: 4096, D: 4096, F: 16384}}
  ops:
    - x0:bf16[B,D] = relu(xx:bf16[B,D])
    - repeat: {rounds}
      carry: {{x0: y}}
      ops:
        - h:bf16[B,F] = matmul(x0, w1:bf16[D,F])
        - y:bf16[B,D] = matmul(h, w2:bf16[F,D])
run: {{overlap: full}}
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

HOSTS = """
name: hosts
system: {{base: dgx_h100, nodes: 64}}
workload:
  dims: {{B: 1024, D: 1024}}
  ops:
    - x0:bf16[B,D] = relu(xx:bf16[B,D])
    - repeat: {rounds}
      carry: {{x0: y}}
      ops:
        - y:bf16[B,D] = matmul(x0, w:bf16[D,D]@host)
"""

UNLIKE = """
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
SHARED = "    - x{next}:bf16[B_X,D] = matmul(x{at}, w{at}:bf16[D,D])\n"

CASES = {
    "10,000 kernels, one chip": CHAIN.format(rounds=5_000),
    "100,000 kernels, one chip": CHAIN.format(rounds=50_000),
    "757 kernels, 16,384 chips": LAYERS,
    "300 kernels, 64 hosts": HOSTS.format(rounds=300),
    "1,000 kernels, unlike chips": UNLIKE + "".join(SHARED.format(at=at, next=at + 1) for at in range(1_000)),
}


def measure(text: str) -> tuple[float, float]:
    """CPU seconds and peak MiB of `overlapse run` on a scenario, interpreter and imports included."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "case.yaml"
        path.write_text(text)
        command = [sys.executable, "-m", "overlapse", "run", str(path)]
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
        _, status, usage = os.wait4(process.pid, 0)
    if status:
        raise RuntimeError(f"{' '.join(command)} ended with {status}")
    return usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024


def main() -> None:
    """Print the table."""
    print(f"{'whole command':28} {'CPU s':>7} {'MiB':>6}")
    for name, text in CASES.items():
        seconds, mebibytes = measure(text)
        print(f"{name:28} {seconds:7.2f} {mebibytes:6.0f}", flush=True)


if __name__ == "__main__":
    main()
