"""Attributes and types of StableHLO's ops, in the words of HLO."""

from __future__ import annotations

import re
from collections.abc import Mapping

from scenarios.importers.dtypes import dtype_named
from scenarios.importers.hlo.module import Shape

_TENSOR = re.compile(
    r"(?:tensor|vector|memref)<((?:(?:\d+|\?)x)*)(!?[A-Za-z][\w.]*)(?:<([^<>]*)>)?([^<>]*(?:<[^<>]*>)?[^<>]*)>"
)
_BOUNDS = re.compile(r"bounds<([^<>]*)>")
_STORED = re.compile(r"(\w+)")
_ATTRIBUTE = re.compile(
    r"(\w+)\s*=\s*(dense<[^>]*>|array<[^>]*>|\[[^=]*?\](?:\s*x\s*\[[^=]*?\])?(?=[,\s}:>]|$)|[\w.#@\-]+)"
)
_LIST = re.compile(r"array<\w+:?\s*([^>]*)>")
_RENAMED = {
    "dims": "dimensions", "permutation": "dimensions", "broadcast_dimensions": "dimensions", "length": "fft_length",
}  # fmt: skip
_DIRECTION = re.compile(r"\b(LT|LE|GT|GE|EQ|NE)\b")
_CALLEE = re.compile(r"@\"?([\w.\-$]+)\"?")


def types_in(text: str) -> list[Shape]:
    """The types of tensors in a text, in order; a size with a bound is that. Raises ValueError for a size that is open."""
    found: list[Shape] = []
    for sizes, word, inner, rest in _TENSOR.findall(text):
        bounds = _BOUNDS.search(rest)
        limits = [part.strip() for part in bounds[1].split(",")] if bounds else []
        dims = tuple(_size(size, limits[at : at + 1]) for at, size in enumerate(sizes.split("x")[:-1]))
        found.append(Shape(_format(word, inner), dims))
    return found


def _size(size: str, limit: list[str]) -> int:
    said = limit[0] if size == "?" and limit else size
    if not said.isdigit():
        raise ValueError("a size is open (?): give it when the module is made, or a bound")
    return int(said)


def _format(word: str, inner: str) -> str | None:
    """The format of a tensor's elements; of quantised ones that in which they are stored."""
    if word == "complex":
        return "fp64"
    stored = _STORED.match(inner)
    return dtype_named(stored[1]) if word.startswith("!quant") and stored else dtype_named(word)


def attributes_of(word: str, head: str) -> dict[str, str]:
    """What an op says of itself, in HLO's words."""
    said = {str(key): _LIST.sub(r"[\1]", str(value)) for key, value in _ATTRIBUTE.findall(head)}
    if word in ("dot_general", "dot"):
        return _dot_attributes(word, head, said)
    if word == "compare":
        direction = _DIRECTION.search(head)
        return {**said, "direction": direction[1] if direction else ""}
    if word == "convolution":
        return _window_attributes(head, said)
    if word == "reduce_window":
        sizes = said.get("window_dimensions", "").strip("[]").replace(" ", "").replace(",", "x")
        return {**said, "window": f"{{size={sizes}}}"}
    if word in ("call", "composite", "custom_call"):
        callee = _CALLEE.search(head)
        name = str(callee[1]) if callee else said.get("call_target_name", "")
        return {**said, "to_apply": said.get("decomposition", name).lstrip("@"), "custom_call_target": name}
    renamed = {
        "dims": "dimensions",
        "permutation": "dimensions",
        "broadcast_dimensions": "dimensions",
        "length": "fft_length",
    }
    return {renamed.get(key, key): value for key, value in said.items()}


def _dot_attributes(word: str, head: str, said: Mapping[str, str]) -> dict[str, str]:
    if word == "dot":
        rank = max((len(shape.dims) for shape in types_in(head)), default=2)
        return {"lhs_contracting_dims": str(max(0, rank - 1)), "rhs_contracting_dims": "0"}
    made: dict[str, str] = {}
    for key, ours in (("batching_dims", "batch_dims"), ("contracting_dims", "contracting_dims")):
        sides = re.search(rf"{key}\s*=\s*\[([\d,\s]*)\]\s*x\s*\[([\d,\s]*)\]", head)
        if sides:
            made[f"lhs_{ours}"], made[f"rhs_{ours}"] = sides[1], sides[2]
    for side in ("lhs", "rhs"):
        for key in ("batching", "contracting"):
            long = re.search(rf"{side}_{key}_dimensions\s*=\s*\[([\d,\s]*)\]", head)
            if long:
                made[f"{side}_{key.removesuffix('ing') if key == 'batching' else key}_dims"] = long[1]
    return made


def _window_attributes(head: str, said: Mapping[str, str]) -> dict[str, str]:
    """A convolution's window and labels as HLO has them."""
    labels = re.search(r"dim_numbers\s*=\s*\[([^\]]*)\]\s*x\s*\[([^\]]*)\]\s*->\s*\[([^\]]*)\]", head)
    sides = ["".join(part.replace(",", " ").split()) for part in labels.groups()] if labels else ["", "", ""]

    def listed(key: str) -> str:
        found = re.search(rf"{key}\s*=\s*\[([\d,\s]*)\]", head)
        return f"{key}={'x'.join(found[1].replace(',', ' ').split())}" if found and found[1].strip() else ""

    pads = re.search(r"pad\s*=\s*\[((?:\[[^\]]*\][,\s]*)*)\]", head)
    pairs = re.findall(r"\[\s*(-?\d+)\s*,\s*(-?\d+)\s*\]", pads[1]) if pads else []
    pad = f"pad={'x'.join(f'{low}_{high}' for low, high in pairs)}" if pairs else ""
    window = " ".join(filter(None, (listed("stride"), pad, listed("lhs_dilate"), listed("rhs_dilate"))))
    made = {"dim_labels": f"{sides[0]}_{sides[1]}->{sides[2]}", "window": "{" + window + "}"}
    made["feature_group_count"] = said.get("feature_group_count", "1")
    if said.get("batch_group_count", "1") != "1":
        made["batch_group_count"] = said["batch_group_count"]
    return made
