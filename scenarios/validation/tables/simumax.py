"""Steps of Megatron-LM that SimuMax measured on eight B200.

Model: `parallel` is such as tp2pp1, ep8pp1 or tp2cp2pp1, its parts in any order, of which none means 1; replicas are what
is left of eight chips, and experts lie on them. `mbc` micro-batches of one sequence each of 4096 tokens, or of as many as
the case's name says (seq32768). A `kind` of vpp means stages of several chunks, whose number is among the parts, or in that
name. What it says besides (l12, dp4, mbc8) must be what the columns say; a part that is not known leaves the row out.
Its scripts cut DeepSeek's models and Kimi's so that one layer is dense, pad or cut each expert's tokens to the mean, have
context-parallel chips exchange heads for tokens, and give Llama 3 405B 16 heads of keys and values. They leave on what
Megatron-LM fuses unless it is told not to (rotation, gates, sums of gradients), and overlap no gradients.
Assumes: the loss in one kernel (`cef`) where the name does not say it as well.
Source: github:MooreThreads/SimuMax, simu_tools/megatron_scripts (run_pretrain_deepseekv2.sh: MOE_LAYER_FREQ,
--moe-pad-expert-input-to-capacity, --cp-comm-type a2a, --num-layers-per-virtual-pipeline-stage; run_pretrain_llama3.sh:
num_query_groups; of --no-rope-fusion, --no-bias-swiglu-fusion and --no-gradient-accumulation-fusion neither has any),
configs/models and configs/strategy; NVIDIA Megatron-LM megatron/training/arguments.py (those three turn off what is on).
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from scenarios.models import model_called
from scenarios.validation.tables.cells import LEFT_OUT, SECONDS, Cells

_CHIPS = 8
_SEQ = 4096

_PARTS = {"tp": "tp", "pp": "pp", "cp": "cp", "ep": "ep", "etp": "etp", "dp": "dp", "vp": "vp", "vpp": "vp"}
"""What parts of a layout are called."""

_SIZES = {**_PARTS, "l": "layers", "mbc": "mbc", "mbs": "mbs", "seq": "seq"}
"""What parts of a case's name are called that have to be as the columns say."""

_PART = re.compile(r"([a-z]+)[_=]?(\d+)")
_SAYS_MORE = re.compile(r"recompute|offload|fp8|selective|zero[023]", re.IGNORECASE)
"""Words of a name that mean a step other than the columns say."""

_CUT: Mapping[str, Mapping[str, str]] = {
    "deepseek_v2": {"first_dense": "1", "dropless": "false"},
    "deepseek_v3": {"first_dense": "1", "dropless": "false"},
    "kimi_k2": {"first_dense": "1", "dropless": "false"},
    "llama3_405b": {"kv_heads": "16"},
}
"""What its scripts make of models."""


def simumax_cells(row: Cells) -> dict[str, str]:
    """A line in our columns; of one that is not understood the model and why."""
    model = model_called(row["model"]) or row["model"]
    said = {"source": "SimuMax on B200", "framework": "megatron-core", "model": model, "chip": "B200"}
    said[SECONDS] = str(float(row["real_ms"]) / 1000)
    said["n_chips"] = str(_CHIPS)
    sizes = _sizes(row["parallel"])
    wrong = _misread(row) if sizes is None else _wrong(row, sizes)
    if sizes is None or wrong:
        return {**said, LEFT_OUT: wrong}
    dp = _CHIPS // (sizes["tp"] * sizes["pp"] * sizes["cp"])
    micro = sizes.get("mbs", 1)
    return {
        **said,
        **{name: str(sizes[name]) for name in ("tp", "pp", "cp", "ep")},
        **_CUT.get(model, {}),
        "dp": str(dp),
        "layers": row["layer_num"],
        "seq": str(sizes.get("seq", _SEQ)),
        "global_batch": str(int(row["mbc"]) * micro * dp),
        "micro_batch": str(micro),
        "interleave": str(sizes["vp"]),
        "context": "all_to_all" if sizes["cp"] > 1 else "",
        "dtype": "bf16",
        "overlap": "none",
        "dispatch": "fused",
    }


def _sizes(layout: str, named: Mapping[str, str] = _PARTS) -> dict[str, int] | None:
    """The parts of a layout, 1 where it has none; None where something of it is not known, or said twice."""
    plain = re.sub(r"[\s_,;x-]", "", layout.lower())
    parts = _PART.findall(plain)
    names = [named.get(name, "") for name, _ in parts]
    read = "".join(f"{name}{size}" for name, size in parts)
    if not parts or read != plain.replace("=", "") or "" in names or len(set(names)) < len(names):
        return None
    found = {named[name]: int(size) for name, size in parts}
    return None if 0 in found.values() else {**dict.fromkeys(_PARTS.values(), 1), **found} | _left(found)


def _left(found: Mapping[str, int]) -> dict[str, int]:
    """Replicas, where a layout does not say them."""
    if "dp" in found:
        return {}
    taken = found.get("tp", 1) * found.get("pp", 1) * found.get("cp", 1)
    return {"dp": _CHIPS // taken} if taken and _CHIPS % taken == 0 else {"dp": 1}


def _misread(row: Cells) -> str:
    """What to say of a layout that is not understood."""
    return f"parallel {row['parallel']} is not known: {', '.join(_PARTS)} with numbers, each once"


def _wrong(row: Cells, sizes: dict[str, int]) -> str:
    """What cannot be in a line; empty where all is well. Chunks of a stage, and sequences of a micro-batch, that the case's
    name alone says, are written down."""
    case, kind = row.get("case", ""), row.get("kind", "").lower()
    more = _SAYS_MORE.search(f"{case} {kind}")
    if more is not None:
        return f"{more[0]} in {case or kind}: which, the columns do not say"
    told = _told(case, row["model"])
    sizes |= {"mbs": told.get("mbs", 1), "seq": told.get("seq", _SEQ)}
    chunks = {
        size for size in (sizes["vp"], told.get("vp", 1), *map(int, re.findall(r"vpp?=?(\d+)", kind))) if size > 1
    }
    interleaved = "vp" in kind and "non" not in kind
    if len(chunks) > 1 or (chunks and "non" in kind) or (interleaved and not chunks):
        return f"kind {kind} and {len(chunks)} numbers of chunks a stage: it takes one for vpp, none for non-vpp"
    sizes["vp"] = chunks.pop() if chunks else 1
    if sizes["etp"] > 1:
        return f"experts cut over {sizes['etp']} tensor-parallel chips have no form here"
    if sizes["tp"] * sizes["pp"] * sizes["cp"] * sizes["dp"] != _CHIPS:
        return f"tp x pp x cp x dp of {row['parallel']} are not {_CHIPS} chips"
    columns = {**sizes, "layers": int(row["layer_num"]), "mbc": int(row["mbc"])}
    differ = [f"{name} {told[name]} for {columns[name]}" for name in told if told[name] != columns[name]]
    return f"case {case} says {', '.join(differ)} of the columns" if differ else ""


def _told(case: str, model: str) -> dict[str, int]:
    """Sizes that a case's name says, behind the model's own name."""
    words = case.lower().split("_")
    flat = re.sub(r"[^a-z0-9]", "", model.lower())
    for many in range(1, len(words) + 1):
        if re.sub(r"[^a-z0-9]", "", "".join(words[:many])) == flat:
            words = words[many:]
            break
    found: dict[str, int] = {}
    for word in words:
        parts = _PART.findall(word)
        if "".join(f"{name}{size}" for name, size in parts) == word:
            found.update({_SIZES[name]: int(size) for name, size in parts if name in _SIZES})
    return found
