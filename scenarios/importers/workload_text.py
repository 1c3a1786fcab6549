"""A workload in YAML, as a person would write it: dims, rules, then ops, blocks in block style.

Model: what a workload has is plain data (`{"dims": ..., "fuse": ..., "ops": [...]}`). Lines are quoted only where YAML
would read them as something else.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

RULES = (("fuse", "none"), ("uneven", "refuse"), ("split", "equal"))
"""What a graph says beside its ops, and what need not be said."""

_PLAIN = re.compile(r"[A-Za-z0-9][^#]*")
"""Text that needs no quotes in YAML, unless a colon is followed by a space."""

_WIDEST = 100


def workload_lines(words: Mapping[str, Any]) -> Iterator[str]:
    """A workload in YAML: dims, rules, then ops, blocks in block style."""
    yield "workload:"
    if "dims" in words:
        yield "  dims:"
        yield from (f"    {name}: {size}" for name, size in words["dims"].items())
    for name, _ in RULES:
        if name in words:
            yield from _rule_lines(name, words[name])
    yield "  ops:"
    yield from _op_lines(words["ops"], "    ")


def _rule_lines(name: str, rule: Any) -> Iterator[str]:
    short = f"  {name}: {rule if isinstance(rule, str) else _flow(rule)}"
    if len(short) <= _WIDEST or isinstance(rule, Mapping):
        yield short
        return
    yield f"  {name}:"
    yield from (f"    - {_flow(group)}" for group in rule)


def _flow(value: Any) -> str:
    """A list or map in flow style."""
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{name}: {_flow(part)}" for name, part in value.items()) + "}"
    if isinstance(value, (list, tuple)):
        return "[" + ", ".join(map(_flow, value)) + "]"
    return str(value)


def _op_lines(items: Sequence[Any], indent: str) -> Iterator[str]:
    for item in items:
        if isinstance(item, str):
            yield f"{indent}- {_text(item)}"
            continue
        yield f"{indent}- repeat: {item['repeat']}"
        if "reverse" in item:
            yield f"{indent}  reverse: true"
        if "carry" in item:
            yield f"{indent}  carry: {_flow(item['carry'])}"
        yield f"{indent}  ops:"
        yield from _op_lines(item["ops"], f"{indent}    ")


def _text(line: str) -> str:
    """An op line as YAML has it: in quotes where it must be."""
    return line if _PLAIN.fullmatch(line) and ": " not in line else json.dumps(line)
