"""Attributes and types of StableHLO's ops, in the words of HLO."""

from __future__ import annotations

import re
from collections.abc import Mapping

from scenarios.importers.dtypes import dtype_named
from scenarios.importers.hlo.module import Shape

_TENSOR = re.compile(r"(?:tensor|vector|memref)<((?:\d+x)*)([A-Za-z]\w*)(?:<\w+>)?[^<>]*>")
_ATTRIBUTE = re.compile(r"(\w+)\s*=\s*(dense<[^>]*>|\[[^=]*?\](?:\s*x\s*\[[^=]*?\])?(?=[,\s}:>]|$)|[\w.#@\-]+)")
_CALLEE = re.compile(r"@\"?([\w.\-$]+)\"?")


def types_in(text: str) -> list[Shape]:
    """The types of tensors in a text, in order."""
    found: list[Shape] = []
    for sizes, word in _TENSOR.findall(text):
        dims = tuple(int(size) for size in sizes.split("x") if size)
        found.append(Shape("fp64" if word == "complex" else dtype_named(word), dims))
    return found


def attributes_of(word: str, head: str) -> dict[str, str]:
    """What an op says of itself, in HLO's words."""
    said = {str(key): str(value) for key, value in _ATTRIBUTE.findall(head)}
    if word in ("dot_general", "dot"):
        return _dot_attributes(word, head, said)
    if word == "convolution":
        return _window_attributes(head, said)
    if word in ("call", "composite", "custom_call"):
        callee = _CALLEE.search(head)
        name = str(callee[1]) if callee else said.get("call_target_name", "")
        return {**said, "to_apply": said.get("decomposition", name).lstrip("@"), "custom_call_target": name}
    renamed = {"dims": "dimensions", "permutation": "dimensions", "broadcast_dimensions": "dimensions"}
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
