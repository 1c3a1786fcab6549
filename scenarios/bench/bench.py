"""A device, its clock, and what was timed on it so far.

Model: a repetition is a piece of work between two events of the device. So that the host's time does not leak in, work is
queued behind a kernel that spins for 0.2 ms; where the host is what is measured (`spins=False`), it is not. Before each
repetition the on-chip memory is flushed by writing four times its size, unless data are to be warm. Inputs are random:
matrix units are faster on zeros. On a CPU (a dry run) a clock of the host takes the place of events.
Assumes: one process has the device to itself.
Source: NVIDIA, CUDA C++ Best Practices Guide, section 9.1 (timing by events).
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from hw import RunError

Work = Callable[[], Any]

SPIN_CYCLES = 400_000
"""Of the kernel before each repetition: 0.2 ms at 2 GHz."""

_LEAST_FLUSH = 64 << 20
_DRY_SIZE = 32
"""The largest size of a dim in a dry run."""

_FIELDS = ("dtype", "flops", "nbytes", "kernels")


@dataclass(frozen=True, slots=True)
class Timed:
    """What one piece of work took, in microseconds, each repetition; `flops` and `nbytes` are ideal ones, no counters.
    Of a step of a model there are a mode and a phase, and the bytes that its allocator had at most, and before it began."""

    suite: str
    name: str
    times_us: tuple[float, ...]
    params: Mapping[str, Any]
    dtype: str = "bf16"
    flops: float = 0
    nbytes: float = 0
    kernels: int = 1
    mode: str = ""
    phase: str = ""
    peak_bytes: int = 0
    static_bytes: int = 0


@dataclass(slots=True)
class Bench:
    """A device of PyTorch's, with what was timed and what was left out. `dry`: a CPU, small sizes, few repetitions."""

    torch: Any
    device: str
    dry: bool
    ends_at: float = math.inf
    rows: list[Timed] = field(default_factory=list)
    left_out: list[str] = field(default_factory=list)
    _flush: Any = None

    def __repr__(self) -> str:
        return f"Bench({self.device}, {len(self.rows)} rows, {len(self.left_out)} left out)"

    @property
    def on_gpu(self) -> bool:
        """Whether there are streams, graphs and events."""
        return self.device == "cuda"

    def shapes(self, wanted: Sequence[tuple[int, ...]]) -> Sequence[tuple[int, ...]]:
        """The shapes that are measured: all, or in a dry run the first one, cut down."""
        if not self.dry:
            return wanted
        return [tuple(min(size, _DRY_SIZE) for size in wanted[0])]

    def random(self, *shape: int, dtype: str = "bfloat16", gradient: bool = False) -> Any:
        """A tensor of normal numbers."""
        made = self.torch.randn(*shape, device=self.device).to(getattr(self.torch, dtype))
        return made.requires_grad_() if gradient else made

    def bytes_of(self, count: int, pinned: bool = False) -> Any:
        """So many bytes on the device, or in the memory of the host from which it copies (`pinned`)."""
        if pinned:
            return self.torch.empty(count, dtype=self.torch.uint8, pin_memory=self.on_gpu)
        return self.torch.empty(count, dtype=self.torch.uint8, device=self.device)

    def time(  # noqa: PLR0913 - what is measured, and how
        self,
        suite: str,
        name: str,
        work: Work,
        told: Mapping[str, Any],
        *,
        repeats: int = 20,
        warm: bool = False,
        spins: bool = True,
    ) -> None:
        """Time a piece of work and keep the row; `told` are the fields of `Timed`, and all others its params."""
        fields = {key: told[key] for key in _FIELDS if key in told}
        sizes = {key: value for key, value in told.items() if key not in _FIELDS}
        params = {**sizes, "l2": "warm" if warm else "flush"}

        def measured() -> None:
            for _ in range(1 if self.dry else 3):
                work()
            self.wait()
            times = [self._once(work, warm, spins) for _ in range(2 if self.dry else repeats)]
            self.rows.append(Timed(suite, name, tuple(times), params, **fields))

        self.attempt(f"{suite} {name}", measured)

    def attempt(self, what: str, work: Work) -> None:
        """Do a part of a suite. What there is no time or memory for, and what this device or this PyTorch cannot do, is left
        out, and told."""
        if time.monotonic() > self.ends_at:
            self.left_out.append(f"{what}: the budget is spent")
            return
        try:
            work()
        except self.torch.OutOfMemoryError:
            self.torch.cuda.empty_cache()
            self.left_out.append(f"{what}: out of memory")
        except (RuntimeError, NotImplementedError) as error:
            why = str(error).strip().splitlines() or [type(error).__name__]
            self.left_out.append(f"{what}: {why[0][:100]}")

    def wait(self) -> None:
        """Until the device has done everything."""
        if self.on_gpu:
            self.torch.cuda.synchronize()

    def mark(self) -> Any:
        """A point in the device's work."""
        if not self.on_gpu:
            return time.perf_counter()
        event = self.torch.cuda.Event(enable_timing=True)
        event.record()
        return event

    def between_us(self, begin: Any, end: Any) -> float:
        """Microseconds between two marks, which have passed."""
        if not self.on_gpu:
            return 1e6 * float(end - begin)
        return 1e3 * float(begin.elapsed_time(end))

    def _once(self, work: Work, warm: bool, spins: bool) -> float:
        if not warm:
            self._flushed()
        if spins and self.on_gpu:
            self.torch.cuda._sleep(SPIN_CYCLES)
        begin = self.mark()
        work()
        end = self.mark()
        self.wait()
        return self.between_us(begin, end)

    def _flushed(self) -> None:
        if self._flush is None:
            near = getattr(self.torch.cuda.get_device_properties(0), "L2_cache_size", 0) if self.on_gpu else 0
            self._flush = self.bytes_of(1024 if self.dry else 4 * max(near, _LEAST_FLUSH))
        self._flush.zero_()


def bench_of(dry: bool, budget_s: float) -> Bench:
    """The device of this machine. Raises RunError without PyTorch, or without a GPU where this is no dry run."""
    try:
        import torch
    except ImportError:
        raise RunError("bench needs PyTorch: pip install 'overlapse[torch]'") from None
    on_gpu = torch.cuda.is_available() and not dry
    if not on_gpu and not dry:
        raise RunError("bench gpu finds no GPU: --dry-run goes through the programs on a CPU, in small")
    torch.manual_seed(0)
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = True
    torch.backends.cudnn.benchmark = True
    return Bench(torch, "cuda" if on_gpu else "cpu", dry, time.monotonic() + budget_s)
