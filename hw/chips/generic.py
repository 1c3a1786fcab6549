"""Kernels of chips of which none were measured: those of a stated architecture, by the chip's own data sheet.

Model: what belongs to an architecture stays: tiles, shares of rates, passes over memory, what a library makes of an op.
What a data sheet says scales by itself, since rates are shares of it: cores, matrix and vector unit by format, HBM, on-chip
memory. Times of cores (a tile, an element, a row, a block) go as the clocks of the matrix units. A start and a host take
what they took where they were measured. A chip's file may say whose kernels its own are like (`kernels_like: hopper`); else
its kind has an architecture (GENERIC), the older one of a GPU, since kernels that need the newer one's units do not run on
all.
Kernels of a chip's own under another power limit (`set: {power: 500 W}`) have what that leaves, too.
A library may run an older architecture's fused attention on a chip (`attention_like: ampere`). Its instructions are there,
but not as fast as the chip's own: of either unit's peak it has the share that the chip's architecture says (`earlier`).
Where a chip's file says what long matmuls reach on it (`long_matmuls`), that comes first.
Mean errors are those of the architecture on chips that it was not measured on (`elsewhere`): margins are wider.
Assumes: a chip that has efficiencies of its own units, of HBM, or a launch time keeps to these.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import lru_cache

from hw.chips.architectures import lineage, load_kernel_times
from hw.chips.chip import Chip
from hw.chips.kernel_times import (
    AttentionTimes,
    EarlierTimes,
    Family,
    KernelTimes,
    MatmulTimes,
    PassTimes,
)

GENERIC = {"gpu": "ampere", "tpu": "tpu"}
"""Whose kernels those of a chip are taken for that says nothing of its own, by kind."""

_ATTENTION: tuple[Family, Family] = ("attention", "attention_backward")

_OF_UNITS = ("matrix_unit", "vector_unit", "hbm")


@dataclass(frozen=True, slots=True)
class ChipKernels:
    """How long the kernels of a chip take. `own`: they were measured on it, or on its die; `like`: else of which
    architecture they are."""

    times: KernelTimes
    own: bool = True
    like: str = ""

    def __repr__(self) -> str:
        return f"ChipKernels({'its own' if self.own else f'like {self.like}'})"


def chip_kernels(chip: Chip) -> ChipKernels | None:
    """The kernels of a chip: its own, else those that it is said to be like, else those of its kind; None if unknown."""
    found, measured = _all_kernels(chip), chip.calibration.measured
    if found is None or measured is None or measured.attention_like is None:
        return found
    other = architecture_on(measured.attention_like, chip)
    if found.times.name and lineage(found.times.name) != lineage(other.name):
        other = _by_older_instructions(other, found.times.earlier)
    return replace(found, times=_attending(found.times, other))


def _all_kernels(chip: Chip) -> ChipKernels | None:
    measured = chip.calibration.measured
    if measured is not None and measured.kernels is not None:
        return ChipKernels(_limited(measured.kernels, chip))
    like = measured.kernels_like if measured is not None else None
    if like is None and not (measured is not None and _has_efficiencies(chip)):
        like = GENERIC.get(chip.kind)
    if like is None or "cores" not in chip.matrix_unit.model_fields_set:
        return None
    return ChipKernels(architecture_on(like, chip), False, like)


def architecture_on(name: str, chip: Chip) -> KernelTimes:
    """An architecture's kernels on a chip, as its data sheet scales them. Raises ValueError for an unknown name."""
    derived, measured = chip.matrix_unit.derived, chip.calibration.measured
    clock_hz = derived.clock_hz if derived is not None else None
    long = measured.long_matmuls if measured is not None else {}
    reached = tuple((str(dtype), share) for dtype, share in long.items())
    return generic_times(name, clock_hz, _joules_per_flop(chip), reached)


def _attending(times: KernelTimes, other: KernelTimes) -> KernelTimes:
    """Kernels whose fused attention is that of another architecture, with its errors."""
    errors = {family: other.residuals[family] for family in _ATTENTION if family in other.residuals}
    update: dict[str, object] = {family: getattr(other, family) for family in _ATTENTION}
    return times.model_copy(update={**update, "residuals": {**times.residuals, **errors}})


def _by_older_instructions(times: KernelTimes, reached: EarlierTimes | None) -> KernelTimes:
    """An earlier architecture's kernels where its instructions reach shares of the peaks (None: all of them)."""
    if reached is None:
        return times
    update: dict[str, object] = {}
    for family in _ATTENTION:
        each: AttentionTimes = getattr(times, family)
        shares = {"rate": each.rate * reached.matrix, "pair": each.pair / reached.vector}
        update[family] = each.model_copy(update=shares)
    return times.model_copy(update=update)


def _joules_per_flop(chip: Chip) -> float | None:
    """The power limit over the 16-bit peak."""
    peaks = {str(name): rate for name, rate in chip.matrix_unit.peak_flops_per_s.items()}
    peak = peaks.get("bf16", peaks.get("fp16"))
    return chip.power_watts / peak if chip.power_watts and peak else None


def _limited(times: KernelTimes, chip: Chip) -> KernelTimes:
    """A chip's own kernels, under another power limit than that under which they were measured."""
    if not chip.power_watts or chip.power_watts == times.power_watts:
        return times
    plain = times.sustained if times.sustained_plain is None else times.sustained_plain
    left = _sustained(times, _joules_per_flop(chip))
    return times.model_copy(update={"sustained": left, "sustained_plain": plain})


def _has_efficiencies(chip: Chip) -> bool:
    measured = chip.calibration.measured
    return measured is not None and (
        measured.launch_s > 0 or any(measured.efficiency(name) != 1.0 for name in _OF_UNITS)
    )


@lru_cache(maxsize=64)
def generic_times(
    name: str,
    clock_hz: float | None,
    joules_per_flop: float | None = None,
    reached: tuple[tuple[str, float], ...] = (),
) -> KernelTimes:
    """An architecture's kernels on another chip of a clock and of a power limit over its 16-bit peak (None: as where they
    were measured). `reached`: by dtype, the share of its peak in long matmuls. Raises ValueError for an unknown name."""
    times = load_kernel_times(name)
    slower = times.clock_hz / clock_hz if times.clock_hz and clock_hz else 1.0
    update: dict[str, object] = {
        "matmul": _tiles(times.matmul, slower),
        "convolution": _tiles(times.convolution, slower) if times.convolution is not None else None,
        "attention": _blocks(times.attention, slower),
        "attention_backward": _blocks(times.attention_backward, slower),
        "kinds": {kind: _passes(each, slower) for kind, each in times.kinds.items()},
        "residuals": times.elsewhere,
        "sustained": _sustained(times, joules_per_flop),
        "core_bytes_per_s": times.core_bytes_per_s / slower if times.core_bytes_per_s else None,
        "sustained_plain": times.sustained if times.sustained_plain is None else times.sustained_plain,
    }
    return _reaching(times.model_copy(update=update), dict(reached))


def _reaching(times: KernelTimes, shares: Mapping[str, float]) -> KernelTimes:
    """Kernels of which long matmuls reach some shares of the peak: what is lost to the architecture's is lost to power."""
    rates, update = dict(times.matmul.rate), dict[str, object]()
    for said, name, alike in (("bf16", "sustained", ("bf16", "fp16")), ("fp32", "sustained_plain", ("fp32",))):
        share = shares.get(said, shares.get(alike[-1]))
        if share is None:
            continue
        usual = rates.get(said, rates["bf16"])
        update[name] = min(1.0, share / usual)
        rates |= dict.fromkeys(alike, max(share, usual))
    return times.model_copy(update={**update, "matmul": times.matmul.model_copy(update={"rate": rates})})


def _sustained(times: KernelTimes, joules_per_flop: float | None) -> float:
    """The share of the matrix unit's rate that the power limit leaves: a FLOP takes the energy that it took."""
    if joules_per_flop is None or times.power_watts is None or times.peak_flops_per_s is None:
        return times.sustained
    return min(1.0, times.sustained * joules_per_flop * times.peak_flops_per_s / times.power_watts)


def _tiles(times: MatmulTimes, slower: float) -> MatmulTimes:
    return times.model_copy(update={"tile_s": times.tile_s * slower, "split_s": times.split_s * slower})


def _blocks(times: AttentionTimes, slower: float) -> AttentionTimes:
    token = times.token
    if token is not None:
        names = ("fixed_s", "split_s", "join_s", "head_s", "group_s")
        of_token = {name: getattr(token, name) * slower for name in names}
        token = token.model_copy(update={**of_token, "head_bytes_per_s": token.head_bytes_per_s / slower})
    of_cores = {name: getattr(times, name) * slower for name in ("split_s", "block_s")}
    return times.model_copy(update={**of_cores, "token": token})


def _passes(times: PassTimes, slower: float) -> PassTimes:
    names = ("element_s", "row_s", "long_s", "least_s", "fixed_s")
    return times.model_copy(update={name: getattr(times, name) * slower for name in names})
