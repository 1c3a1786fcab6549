"""The words of a run as a mapping that can be written down: what a user holds, and JSON has."""

from __future__ import annotations

from typing import Any

from analysis import Summary, Value


class RunWords(dict[str, Value]):
    """Every word about a run. One about an op (`ops.y.time`) is worked out when it is asked for; of an unknown one the
    KeyError says what may have been meant."""

    def __init__(self, summary: Summary) -> None:
        super().__init__(summary.as_dict())
        self._summary = summary

    def __missing__(self, word: str) -> Value:
        return self._summary[word]

    def __reduce__(self) -> Any:
        return dict, (dict(self),)
