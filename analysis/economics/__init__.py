"""What compute costs, and whether making it cheaper pays: small formulas, numbers in, numbers out.

Model, assumptions and sources stand in `analysis.economics.formulas`.
"""

from analysis.economics.formulas import (
    DAYS_PER_YEAR,
    MILLION,
    SECONDS_PER_DAY,
    SECONDS_PER_HOUR,
    SECONDS_PER_YEAR,
    checkpoint_interval_s,
    chip_seconds_per_year,
    effective_usd_per_h,
    electricity_usd,
    engineering_usd,
    flops_per_usd,
    interrupted_share,
    payback_s,
    rent_usd,
    roi,
    saved_share,
    training_flops,
    training_time_s,
    usd_per_million,
    yearly_usd,
)
from analysis.economics.interruptions import PricePath, daly_interval_s, renewal_factor

__all__ = [
    # What a run costs.
    "electricity_usd",
    "rent_usd",
    "usd_per_million",
    # Training.
    "flops_per_usd",
    "training_flops",
    "training_time_s",
    # Whether work on the code pays.
    "chip_seconds_per_year",
    "engineering_usd",
    "payback_s",
    "roi",
    "saved_share",
    "yearly_usd",
    # Faults.
    "PricePath",
    "checkpoint_interval_s",
    "daly_interval_s",
    "effective_usd_per_h",
    "interrupted_share",
    "renewal_factor",
    # Units.
    "DAYS_PER_YEAR",
    "MILLION",
    "SECONDS_PER_DAY",
    "SECONDS_PER_HOUR",
    "SECONDS_PER_YEAR",
]
