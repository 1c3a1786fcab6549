"""Models of the catalogue as others call them: one reader of names for all tables.

Model: capitals and what stands between words say nothing (`DeepSeekV3`, `deepseek-v3`), the releases of Llama 3 (3.1, 3.3)
have one shape, and a size behind a name is one more word for a model that has it (`deepseek-v3-671b`). What has quite
another name elsewhere stands in OTHERWISE.
Source: huggingface:meta-llama (Llama 3, 3.1 and 3.3 differ in the angles of rotation); github:pytorch/torchtitan (its
DeepSeek-V3 of 16B has the shape of DeepSeek-V2-Lite, its Llama 4 are named by experts); github:MooreThreads/SimuMax.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import cache

from hw.input import did_you_mean
from scenarios.models.catalogue import load_model, model_names
from simulator.models import parameters

OTHERWISE: Mapping[str, str] = {
    "deepseekv3_16b": "deepseek_v2_lite",
    "kimi1t": "kimi_k2",
    "llama4_17bx16e": "llama4_scout",
    "llama4_17bx128e": "llama4_maverick",
}
"""Names that say nothing of the catalogue's, as `_plain` has them."""

_WORDS = re.compile(r"[a-z]+|\d+(?:\.\d+)?")
_RELEASES = re.compile(r"^llama3\.[13](?=_)")
_SIZED = re.compile(r"(.+?)_?(\d+(?:\.\d+)?)b")
_NEAR = 0.02
"""How far the parameters of a model may be from the size that its name has."""


def model_called(name: str) -> str | None:
    """The model of the catalogue that a name means; None where it means none."""
    known, plain = _known(), _RELEASES.sub("llama3", _plain(name))
    if plain in OTHERWISE:
        return OTHERWISE[plain]
    sized = _SIZED.fullmatch(plain)
    if plain in known or sized is None or sized[1] not in known:
        return known.get(plain)
    size = parameters(load_model(known[sized[1]]).description).total
    return known[sized[1]] if abs(size / (float(sized[2]) * 1e9) - 1.0) < _NEAR else None


def no_model(name: str) -> str:
    """What to say of a name that means none, with those that it may stand for."""
    plain = {each.lower(): each for each in model_names()}
    hint = did_you_mean(name.strip().lower().replace("-", "_").replace(" ", "_"), sorted(plain), "")
    return f"model {name} is not in the catalogue{hint}"


def _plain(name: str) -> str:
    """Words and numbers, in small letters; a line between two numbers, which would else be one."""
    found = ""
    for word in _WORDS.findall(name.lower()):
        found += f"_{word}" if found and found[-1].isdigit() and word[0].isdigit() else word
    return found


@cache
def _known() -> Mapping[str, str]:
    return {_plain(name): name for name in model_names()}
