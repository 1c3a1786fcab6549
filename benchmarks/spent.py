"""One command, and what it used of the machine: `python -m benchmarks.spent CPU_SECONDS BYTES COMMAND...`.

Prints JSON on stderr's last line: status, CPU seconds (of all its processes), seconds that went by, MiB. It is a process of
its own, since a child begins with the peak memory of whoever forked it, and a benchmark's process is large.
"""

from __future__ import annotations

import json
import os
import resource
import subprocess
import sys
import time


def main(cpu_s: int, nbytes: int, command: list[str]) -> None:
    """Run the command within the limits."""
    resource.setrlimit(resource.RLIMIT_CPU, (cpu_s, cpu_s + 5))
    resource.setrlimit(resource.RLIMIT_AS, (nbytes, nbytes))
    begin = time.perf_counter()
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    _, status, used = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    found = {
        "code": process.returncode,
        "cpu_s": used.ru_utime + used.ru_stime,
        "wall_s": time.perf_counter() - begin,
        "mib": used.ru_maxrss / 1024,
    }
    print(f"\n{json.dumps(found)}", file=sys.stderr)


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]), sys.argv[3:])
