"""What one chip costs an hour, by how it is rented.

Model: a price is in USD an hour for one chip, whatever machine it is rented in; it has a way to rent (on demand, reserved,
spot), and who asks it and of when it is. A price that is written alone is that on demand.
Assumes: prices of unlike sellers and dates say little beside each other, so that none is made from another.
Source: each chip's file, under `sources.price` and `price.sellers`.
"""

from typing import Annotated, Literal

from pydantic import Field

from hw.input.validation import Frozen, Spec, UsdPerHour

TIERS = ("on_demand", "reserved", "spot")
"""How a chip can be rented."""


Tier = Literal["on_demand", "reserved", "spot"]


NO_SELLER = "a price of its own"
"""Of a price that does not say who asks it: that of a scenario, or of a chip file of the user's."""


class Prices(Spec):
    """What one chip costs an hour, by how it is rented; None where that is not known. `sellers`: who asks that price, and of
    when it is, in few words: prices of unlike sellers and dates say little beside each other."""

    on_demand: UsdPerHour | None = Field(default=None, description="rented when it is needed")
    reserved: UsdPerHour | None = Field(default=None, description="rented for long, or booked ahead")
    spot: UsdPerHour | None = Field(default=None, description="rented until someone else wants it")
    sellers: Annotated[dict[Tier, str], Frozen] = Field(
        default_factory=dict, description="who asks each price, and of when it is: {on_demand: 'AWS, January 2025'}"
    )

    @property
    def known(self) -> dict[str, float]:
        """USD/h by each tier that has a price."""
        priced = {tier: self.of(tier) for tier in TIERS}
        return {tier: usd for tier, usd in priced.items() if usd is not None}

    def told(self, tier: str) -> str | None:
        """How a chip is rented, who asks the price, and of when it is; None where there is no price."""
        if self.of(tier) is None:
            return None
        seller = next((each for name, each in self.sellers.items() if name == tier), NO_SELLER)
        return f"{tier.replace('_', ' ')}, {seller}"

    def of(self, tier: str) -> float | None:
        """USD/h of a tier of `TIERS`, None if unknown."""
        price: float | None = getattr(self, tier)
        return price


def on_demand_alone(value: object) -> object:
    """A plain price is that on demand."""
    return value if isinstance(value, (dict, Prices)) else {"on_demand": value}
