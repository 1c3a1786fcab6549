"""Where the time of a job goes: what is kept, what is thrown away, and what is still at risk.

Model: work and writing since the last checkpoint are at risk. Work before a snapshot that is being written is
pending; once that is written it is kept, if the job fails before all of it is lost. Every picosecond is in one
account, so the accounts add up to the time. Of work that is kept, the time beyond that of its steps is slowness.
"""

from __future__ import annotations

from dataclasses import dataclass

from simulator.engine.shape import PS_PER_S


@dataclass(frozen=True, slots=True, kw_only=True)
class Life:
    """Where the time of one life went: `time_s` is the sum of the times after it. `rollbacks`: failures that threw
    work away; the others struck a restart."""

    time_s: float
    work_s: float
    slow_s: float
    checkpoint_s: float
    lost_s: float
    restart_s: float
    away_s: float
    failures: int
    rollbacks: int

    @property
    def goodput(self) -> float:
        """The share of the time that is steps that count."""
        return self.work_s / self.time_s


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

    def life(self, time: int, failures: int, rollbacks: int) -> Life:
        """What has come of a job after so many picoseconds."""
        kept = self.kept
        parts = (kept.nominal, kept.work - kept.nominal, kept.saving, self.lost, self.restart, self.away)
        work, slow, checkpoint, lost, restart, away = (each / PS_PER_S for each in parts)
        return Life(
            time_s=time / PS_PER_S,
            work_s=work,
            slow_s=slow,
            checkpoint_s=checkpoint,
            lost_s=lost,
            restart_s=restart,
            away_s=away,
            failures=failures,
            rollbacks=rollbacks,
        )
