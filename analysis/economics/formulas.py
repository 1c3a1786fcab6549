"""What compute costs, and whether making it cheaper pays: small formulas, numbers in, numbers out.

Model: chips are rented by the hour, used or not; money is price x chips x hours. A year has 365 days of 24 hours, the same
amount of work each day. Nothing is discounted: interest over a few months is below what is known about prices.
Assumes: what costs nothing or lasts no time is a mistake, so an argument of 0 or less is refused (ValueError), except where
a docstring says otherwise.

Arithmetic for a dollar at the data sheet's bf16 peak, `flops_per_usd`, at the list prices of February 2025:

    H100   9.89e14 FLOP/s at 10.8 USD/h   3.30e17 FLOP/USD
    v5p    4.59e14 FLOP/s at  4.2 USD/h   3.93e17 FLOP/USD
    v5e    1.97e14 FLOP/s at  1.2 USD/h   5.91e17 FLOP/USD

Source: "How to Scale Your Model", chapter on serving LLaMA 3, for these prices; other sources stand at their formulas.
"""

from __future__ import annotations

import math

from hw import Dimension
from hw.input import show

SECONDS_PER_HOUR = 3600.0
SECONDS_PER_DAY = 86400.0
DAYS_PER_YEAR = 365.0
SECONDS_PER_YEAR = DAYS_PER_YEAR * SECONDS_PER_DAY
"""A year has 365 days here."""
MILLION = 1e6
"""Prices are quoted for so many tokens or requests."""


def rent_usd(usd_per_h: float, time_s: float, chips: float = 1.0, utilisation: float = 1.0) -> float:
    """price x chips x hours / utilisation: what work of `time_s` costs if chips are rented for `time_s / utilisation`.

    `usd_per_h` is of one chip; a price of 0 is allowed. Source: list prices are by the hour of one chip.
    """
    _positive(time_s=time_s, chips=chips)
    _share(utilisation=utilisation)
    _not_negative(usd_per_h=usd_per_h)
    return usd_per_h * chips * time_s / SECONDS_PER_HOUR / utilisation


def electricity_usd(energy_joules: float, usd_per_joule: float, pue: float = 1.0) -> float:
    """energy x PUE x price. `pue`: energy of the whole building over that of the computers, at least 1.

    Source: ISO/IEC 30134-2, power usage effectiveness.
    """
    _not_negative(energy_joules=energy_joules, usd_per_joule=usd_per_joule)
    if not 1 <= pue < math.inf:
        raise ValueError(f"pue is {pue}; it must be at least 1")
    return energy_joules * pue * usd_per_joule


def usd_per_million(usd: float, pieces: float) -> float:
    """usd / pieces x 1e6: the price of a million tokens (or requests), if `pieces` of them cost `usd`."""
    _not_negative(usd=usd)
    _positive(pieces=pieces)
    return usd / pieces * MILLION


def training_flops(parameters: float, tokens: float, flops_per_parameter: float = 6.0) -> float:
    """6PD: two FLOPs a parameter and token forward, four backward; 8 if activations are recomputed.

    Source: Kaplan et al. 2020, "Scaling Laws for Neural Language Models", section 2.1.
    """
    _positive(parameters=parameters, tokens=tokens, flops_per_parameter=flops_per_parameter)
    return flops_per_parameter * parameters * tokens


def training_time_s(flops: float, chips: float, peak_flops_per_s: float, mfu: float) -> float:
    """FLOPs / (chips x peak x MFU). Source: the definition of MFU, Chowdhery et al. 2022 (PaLM), appendix B."""
    _positive(flops=flops, chips=chips, peak_flops_per_s=peak_flops_per_s)
    _share(mfu=mfu)
    return flops / (chips * peak_flops_per_s * mfu)


def flops_per_usd(flops_per_s: float, usd_per_h: float) -> float:
    """FLOP/s x 3600 / price: the arithmetic that a dollar buys, at the peak or at what a run reaches.

    Source: "How to Scale Your Model", chapter on serving LLaMA 3.
    """
    _positive(flops_per_s=flops_per_s, usd_per_h=usd_per_h)
    return flops_per_s * SECONDS_PER_HOUR / usd_per_h


def chip_seconds_per_year(per_day: float, time_s: float, chips: float = 1.0) -> float:
    """runs a day x 365 x seconds x chips: what a year of something done `per_day` times a day keeps chips busy."""
    _positive(per_day=per_day, time_s=time_s, chips=chips)
    return per_day * DAYS_PER_YEAR * time_s * chips


def yearly_usd(usd_per_day: float) -> float:
    """A daily sum (0, or negative for a saving that is none) over 365 days."""
    _finite(usd_per_day=usd_per_day)
    return usd_per_day * DAYS_PER_YEAR


def saved_share(before: float, after: float) -> float:
    """1 - after / before: the share of a cost (or time) that is gone; negative if there is more of it."""
    _positive(before=before)
    _not_negative(after=after)
    return 1.0 - after / before


def engineering_usd(hours: float, usd_per_h: float) -> float:
    """hours of work x wage, what the engineer costs in all."""
    _positive(hours=hours, usd_per_h=usd_per_h)
    return hours * usd_per_h


def roi(savings_usd: float, engineering_usd: float) -> float:
    """(savings - cost) / cost: 0 where the effort just pays, -1 where nothing comes back. Savings may be 0 or negative.

    Source: the textbook's return on investment.
    """
    _finite(savings_usd=savings_usd)
    _positive(engineering_usd=engineering_usd)
    return (savings_usd - engineering_usd) / engineering_usd


def payback_s(engineering_usd: float, savings_usd_per_year: float) -> float:
    """cost / yearly savings: seconds after which savings have paid for the effort. Refuses savings of 0 or less: never."""
    _positive(engineering_usd=engineering_usd, savings_usd_per_year=savings_usd_per_year)
    return engineering_usd / savings_usd_per_year * SECONDS_PER_YEAR


def checkpoint_interval_s(checkpoint_s: float, mtbf_s: float) -> float:
    """sqrt(2 x checkpoint x MTBF): how often to save for the least loss. Source: Young 1974, CACM 17(9)."""
    _positive(checkpoint_s=checkpoint_s, mtbf_s=mtbf_s)
    return math.sqrt(2 * checkpoint_s * mtbf_s)


def interrupted_share(checkpoint_s: float, mtbf_s: float, restart_s: float) -> float:
    """The share of the time that interruptions cost: saving, doing again half an interval each, and coming back.

    checkpoint / interval + interval / (2 MTBF) + restart / MTBF, at Young's interval; first order in interval / MTBF, so
    refused where it comes to 1 or more: then nothing would ever be done. `restart_s` may be 0. Source: Young 1974.
    """
    _not_negative(restart_s=restart_s)
    interval = checkpoint_interval_s(checkpoint_s, mtbf_s)
    lost = checkpoint_s / interval + interval / (2 * mtbf_s) + restart_s / mtbf_s
    if lost >= 1:
        every, saving, back = (show(each, Dimension.TIME) for each in (mtbf_s, checkpoint_s, restart_s))
        raise ValueError(
            f"with an interruption every {every}, checkpoints of {saving} and restarts of {back} no time is left to work in"
        )
    return lost


def effective_usd_per_h(usd_per_h: float, lost: float) -> float:
    """price / (1 - lost): what an hour of work costs if a share of the paid hours is lost. `lost` may be 0."""
    _not_negative(usd_per_h=usd_per_h, lost=lost)
    if lost >= 1:
        raise ValueError(f"lost is {lost}; it must be below 1")
    return usd_per_h / (1 - lost)


def _finite(**amounts: float) -> None:
    for name, amount in amounts.items():
        if not -math.inf < amount < math.inf:
            raise ValueError(f"{name} is {amount}; it must be a finite number")


def _positive(**amounts: float) -> None:
    for name, amount in amounts.items():
        if not 0 < amount < math.inf:
            raise ValueError(f"{name} is {amount}; it must be more than 0")


def _not_negative(**amounts: float) -> None:
    for name, amount in amounts.items():
        if not 0 <= amount < math.inf:
            raise ValueError(f"{name} is {amount}; it must be 0 or more")


def _share(**shares: float) -> None:
    for name, share in shares.items():
        if not 0 < share <= 1:
            raise ValueError(f"{name} is {share}; it must be more than 0 and at most 1")
