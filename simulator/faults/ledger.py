"""Where the time of a job goes: what is kept, what is thrown away, and what is still at risk.

Model: work and writing since the last checkpoint are at risk. Work before a snapshot that is being written is
pending; once that is written it is kept, if the job fails before all of it is lost. Every picosecond is in one
account, so the accounts add up to the time. Of work that is kept, the time beyond that of its steps is slowness.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(slots=True)
class Stretch:
    """Time of the clock in work and in writing, and the steps' own time that was done in it."""

    work: int = 0
    nominal: int = 0
    saving: int = 0

    def __iadd__(self, other: Stretch) -> Stretch:
        self.work += other.work
        self.nominal += other.nominal
        self.saving += other.saving
        return self


class Ledger:
    """The accounts of one life, in picoseconds."""

    def __init__(self) -> None:
        self.kept, self.pending, self.open = Stretch(), Stretch(), Stretch()
        self.lost = self.restart = self.away = 0

    @property
    def done(self) -> int:
        """The steps' time that is done, kept or not."""
        return self.kept.nominal + self.pending.nominal + self.open.nominal

    @property
    def at_risk(self) -> bool:
        """Whether a failure would throw anything away."""
        return self.done > self.kept.nominal

    def snapshot(self) -> None:
        """All that is done is what is written from here on."""
        self.pending += self.open
        self.open = Stretch()

    def written(self) -> None:
        """The snapshot is written."""
        self.kept += self.pending
        self.pending = Stretch()

    def fail(self) -> None:
        """Back to the last checkpoint."""
        for each in (self.pending, self.open):
            self.lost += each.work + each.saving
        self.pending, self.open = Stretch(), Stretch()
