"""What a slice of a device does: communication, data movement alone, or computing.

Model: what a profiler says of a slice (XLA's hlo_category, Ascend's task type, Kineto's categories) comes before its
name. A kernel's own name is what stands before its template arguments and parameters, where communication may be
mentioned as well. Names of communication are those of the libraries (NCCL, RCCL, HCCL, oneCCL, MSCCL, Gloo, NVSHMEM,
DeepEP, ...), of the collectives that serving engines and PyTorch's symmetric memory write themselves, and of XLA's
collectives. A fusion that is named after the ops in it (XLA's, Inductor's), and a matmul that communicates on its way,
compute; what else is communication, patterns of the caller say. Memcpy, Memset and DMA are data movement; everything
else computes.
Source: Holistic Trace Analysis for nccl, Memcpy, Memset and dma; the kernels of vLLM, SGLang, TensorRT-LLM, FlashInfer,
TransformerEngine, DeepEP, PyTorch and AITER; XLA's opcodes.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import lru_cache

from analysis.traces.reading.events import Slice

_COLLECTIVE = (
    r"(all-reduce|all-gather|reduce-scatter|(ragged-)?all-to-all|collective-(permute|broadcast)|async-collective)"
)

_XLA_NETWORK_CATEGORY = re.compile(rf"{_COLLECTIVE}|(send|recv)(-start|-done)?$", re.IGNORECASE)
_XLA_NETWORK = re.compile(
    rf"%?(async-)?({_COLLECTIVE}(-scatter)?|send|recv)(-(start|update|done))?(\.(\d+|clone|remat\d*))*", re.IGNORECASE
)
_XLA_MEMORY = re.compile(
    r"%?(infeed|outfeed|copy|(copy|slice|dynamic-slice|dynamic-update-slice)-(start|done))(\.(\d+|clone|remat\d*))*",
    re.IGNORECASE,
)

_NETWORK_TASK = re.compile(r".*(hccl|communication|hcom).*", re.IGNORECASE)
_MEMORY_TASK = re.compile(r".*(sdma|memcpy).*", re.IGNORECASE)

_NETWORK_CATEGORY = re.compile(r"collective_comm|communication", re.IGNORECASE)
_MEMORY_CATEGORY = re.compile(r"(\w+_)?mem(cpy|set)", re.IGNORECASE)

_FUSION = re.compile(r"(.*[._-])?fusion([._-]?(\d+|clone|remat\d*))*|triton_(\w{2,5}_)?fused\w*", re.IGNORECASE)
_LIBRARY = re.compile(
    r"^(gloo|c10d::|bkcl|cncl|xccl|mccl)"
    r"|(?<![a-z])(nccl|rccl|hccl|oneccl|ccl::|msccl|nvshmem|rocshmem|ishmem|ibgda|userbuffers|nvls)"
    r"|(?<![a-z])(deep_?ep(?![a-z])|mori::|multimem|symm_?mem|symmetric_memory|cross_device_reduce)"
    r"|nccl(dev)?kernel|pplx::all_to_all",
    re.IGNORECASE,
)
_OWN_COLLECTIVE = re.compile(
    # a small letter goes on a word, a capital begins one: all_reduce and fusedAllReduce, but not small_reduce
    r"(?<![a-z])all_?[rR]educe|(?<![a-z])all_?[gG]ather|(?<![a-z])reduce_?[sS]catter|(?<![a-z])all_?[tT]o_?[aA]ll"
    r"|All_?[Rr]educe|All_?[Gg]ather|Reduce_?[Ss]catter|All_?[Tt]o_?[Aa]ll|(?<![a-z])[aA]ll2[aA]ll"
    r"|ALL_?REDUCE|ALL_?GATHER|REDUCE_?SCATTER|ALL_?TO_?ALL|SendRecv|(?<![a-z])send_?recv"
    r"|([oO]ne|[tT]wo|1|2)_?[sS]hot_?([aA]ll_?)?([rR]educe|[gG]ather)|(?<![a-z])[hH]com[A-Z_]"
    r"|(fused|fast|custom|quick|ring|tree)_?all_?reduce|quick_?reduce|(?<![a-z])collective_(permute|broadcast|subgraph)"
)
_ARITHMETIC = re.compile(r"gemm|matmul|attention|attn|conv(?!ert)", re.IGNORECASE)
_MEMORY = re.compile(r"(?i:(cuda|hip|cu)?mem(cpy|set))|(dma|DMA|Dma)(?![a-z])|Copy(Device|Host)To(Device|Host)")
_NOT_ITS_NAME = re.compile(r"^void |\(anonymous namespace\)(::)?")


def does(each: Slice, network: Sequence[re.Pattern[str]] = ()) -> str:
    """One of `DOES`. `network`: patterns of names that are communication, too."""
    if any(pattern.search(each.name) for pattern in network):
        return "network"
    said = _said(each)
    return said or _by_name(each.name)


def _said(each: Slice) -> str | None:
    """What the profiler says of a slice beside its name."""
    hlo, task = str(each.args.get("hlo_category", "")), str(each.args.get("Task Type", ""))
    if _XLA_NETWORK_CATEGORY.match(hlo) or _NETWORK_CATEGORY.fullmatch(each.category) or _NETWORK_TASK.match(task):
        return "network"
    if _XLA_MEMORY.fullmatch(hlo) or _MEMORY_CATEGORY.fullmatch(each.category) or _MEMORY_TASK.match(task):
        return "memory"
    return "arithmetic" if "fusion" in hlo or "convolution" in hlo else None


def work_does(name: str, category: str = "") -> str:
    """One of `DOES`, of work of which nothing is known but its name and its category (`kernel`, `gpu_memcpy`)."""
    return "memory" if _MEMORY_CATEGORY.fullmatch(category) else _by_name(name)


@lru_cache(maxsize=4096)
def _by_name(name: str) -> str:
    """What the name of a kernel or of an op of XLA's says; of the latter the whole line of HLO may stand there."""
    name = name.split(" = ", 1)[0]
    if _XLA_NETWORK.fullmatch(name):
        return "network"
    if _FUSION.fullmatch(name):
        return "arithmetic"
    own = re.split(r"[<(]", _NOT_ITS_NAME.sub("", name), maxsplit=1)[0]
    if _LIBRARY.search(own) or (_OWN_COLLECTIVE.search(own) and not _ARITHMETIC.search(own)):
        return "network"
    return "memory" if _MEMORY.match(name) or _XLA_MEMORY.fullmatch(name) else "arithmetic"
