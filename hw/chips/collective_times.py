"""What a library takes for a collective over one kind of link beside the bytes on its wires: few physical parameters.

Model: beside the wires, whose share of the data sheet is the link's efficiency, a collective has a start, a time for each of
its steps (a chip waits for its neighbour's message), a copy of the part that stays on the chip, and a pipeline of pieces
that fills: few large pieces fill slowly, many small ones pay for each, so that what is lost at best grows with the root of
the time (`simulator.measured.collectives` has the formula).
Exchanges (all-to-all) have times of their own, since their sends wait for no neighbour's (`exchange`).
Nothing here knows a message size or a number of chips, and the time is monotone in both.
All-reduces that a link's switches add up (NVLS) have a start and a rate of their own: every chip sends all of its bytes up
and gets the whole sum, and what it reads of its part comes once more, 1 + 1 / n of the bytes each way; so the more chips,
the shorter.
Where chips do not reach each other over a link (PCIe of cards whose drivers allow no access to peers) the library passes
through the host's memory: bytes go at a share of the wires' rate (`rate`), as they do where rings over several axes of a
torus leave wires idle.
Between nodes a library's rings (NCCL) go round all N chips, one on each rail, so that a card carries (N - 1) / N of its
share of the bytes; first inside each of n nodes and then between them (the wiring's own form) it would be (n - 1) / n.
On a torus rings along several axes go on at once, each with a part of the bytes; a compiler may use fewer of them (`axes`).
While it goes on, a collective holds cores of its chip, as channels of the library: as many as it has, but each of them moves
at least so many bytes.
"""

from typing import Annotated

from pydantic import Field

from hw.input.validation import Bytes, Efficiency, Seconds, Spec

Positive = Annotated[float, Field(gt=0, allow_inf_nan=False, strict=True)]
Cores = Annotated[int, Field(ge=0, strict=True)]


class SwitchTimes(Spec):
    """All-reduces that the switches of a link add up."""

    start_s: Seconds = Field(alias="start", description="time before anything moves")
    rate: Positive = Field(description="rate at which a chip's bytes go up and the sums come down, over the link's")
    cores: Cores = Field(default=0, description="cores that it holds on each chip")


class ExchangeTimes(Spec):
    """Exchanges (all-to-all) over one kind of link: every chip sends to all others at once, and waits for no neighbour."""

    start_s: Seconds = Field(alias="start", description="time before anything moves")
    step_s: Seconds = Field(alias="step", default=0.0, description="time for each other chip")
    fill_s: Seconds = Field(
        alias="fill", default=0.0, description="an exchange of t seconds loses sqrt(t x fill) to its pipeline of pieces"
    )
    copy_rate: Positive = Field(
        alias="copy",
        default=float(2**40),
        description="rate at which a chip copies the part that stays with it, over the link's bandwidth",
    )


class PairTimes(Spec):
    """What one chip sends to another over a link, as stages of a pipeline do."""

    start_s: Seconds = Field(alias="start", description="time before anything moves: launch, and the two chips meeting")
    rate: Annotated[float, Field(gt=0, le=1, allow_inf_nan=False, strict=True)] = Field(
        default=1.0, description="share of the wires' rate at which its bytes go"
    )


class CollectiveTimes(Spec):
    """Collectives over one kind of link."""

    start_s: Seconds = Field(alias="start", description="time before anything moves: launch, and chips meeting")
    step_s: Seconds = Field(
        alias="step", default=0.0, description="time of each step: chips - 1 of them, of an all-reduce twice as many"
    )
    fill_s: Seconds = Field(
        alias="fill", default=0.0, description="a transfer of t seconds loses sqrt(t x fill) to its pipeline of pieces"
    )
    rate: Annotated[float, Field(gt=0, le=1, allow_inf_nan=False, strict=True)] = Field(
        default=1.0,
        description="share of the wires' rate at which bytes go that pass through the host's memory, or leave wires idle",
    )
    copy_rate: Positive = Field(
        alias="copy",
        default=float(2**40),
        description="rate at which a chip copies the part that stays with it, over the link's bandwidth",
    )
    rails: bool = Field(
        default=False,
        strict=True,
        description="over several nodes rings go round all chips, one on each rail (each chip's own network card)",
    )
    axes: Annotated[int, Field(ge=1, strict=True)] | None = Field(
        default=None, description="axes of a torus that rings use at once at most; else all that their chips lie along"
    )
    in_switch: SwitchTimes | None = Field(
        default=None,
        description="all-reduces that the link's switches add up, where the library has them do so if that is faster",
    )
    exchange: ExchangeTimes | None = Field(
        default=None, description="exchanges, where they were measured apart; else they are as the others"
    )
    pair: PairTimes | None = Field(
        default=None, description="what one chip sends to another, where that was measured; else its wires alone"
    )
    cores: Cores = Field(default=0, description="cores that a collective holds on each chip at most, while it goes on")
    core_bytes: Bytes = Field(
        alias="core", default=2.0**15, description="bytes of the collective for each of its cores"
    )
    residual: Efficiency | None = Field(
        default=None, description="mean error of what these times say of measured collectives"
    )
