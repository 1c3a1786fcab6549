"""Which query-key pairs an attention mask leaves, counted exactly.

Model: T queries stand at the last T of S key positions (T = S in training and prefill, T = 1 in a decode step). Causal: a
query sees no key after itself. A window of W: it sees no key W or more positions away, so a causal one sees W keys, itself
among them, and any other up to 2W - 1.
Source: Jiang et al. 2023 (Mistral 7B: sliding window); Beltagy et al. 2020 (Longformer).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Mask:
    """The mask of `queries` over `keys`; `window` None where distance does not matter."""

    queries: int
    keys: int
    causal: bool = False
    window: int | None = None

    @property
    def pairs(self) -> int:
        """How many pairs of a query and a key are not masked."""
        if not self.causal and self.window is None:
            return self.queries * self.keys
        window = self.window or self.keys
        back = _limited(self.keys - self.queries, self.queries, window)
        return back if self.causal else back + _limited(0, self.queries, window) - self.queries

    @property
    def span(self) -> int:
        """How many keys one query sees at most."""
        if self.window is None:
            return self.keys
        return min(self.keys, self.window if self.causal else 2 * self.window - 1)

    @property
    def near(self) -> tuple[int, int] | None:
        """How many keys before and behind its own place a query sees, where a window hides some."""
        if self.window is None or self.window >= self.keys:
            return None
        return self.window - 1, 0 if self.causal else self.window - 1

    def reached(self, block: int, begins: Sequence[int]) -> int:
        """How many keys a chip reads that has `block` of the queries, one after the other; of all such chips, whose first
        queries are `begins`, the most."""
        if not block:
            return 0
        if self.window is None:
            return self.keys
        if not isinstance(begins, range):
            offset = self.keys - self.queries
            return max(self._seen(offset + begin, offset + begin + block - 1) for begin in begins)
        first, last = self.keys - self.queries, self.keys - block
        # keys in reach grow up to the middle of the keys, and fall from there
        middle = last if self.causal else min(last, first + max(0, (last // 2 - first) // block) * block)
        starts = {first, middle, min(last, middle + block), last}
        return max(self._seen(start, start + block - 1) for start in starts)

    def _seen(self, first: int, last: int) -> int:
        """Keys that the queries at positions `first` to `last` see."""
        window = self.window or self.keys
        end = last if self.causal else min(self.keys - 1, last + window - 1)
        return end - max(0, first - window + 1) + 1


def _limited(before: int, count: int, window: int) -> int:
    """The sum of min(before + i, window) for i from 1 to count."""
    rising = max(0, min(count, window - before))
    return rising * before + rising * (rising + 1) // 2 + (count - rising) * window
