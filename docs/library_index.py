"""The index of the scenario library, by technique and by theme: `python docs/library_index.py` writes scenarios/README.md.

Model: a scenario's number is the first claim of its `expect`, as its author wrote it; its line is the first sentence of what
it says of itself. The table of techniques is what the founding documents speak of, each with the scenarios that run it.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))

from hw.input import read_document  # noqa: E402 - found beside docs/ also where nothing is installed
from scenarios import library_names, read_source  # noqa: E402
from scenarios.shelf import Shelved, found_in_library  # noqa: E402

PAGE = ROOT / "scenarios" / "README.md"

TECHNIQUES: tuple[tuple[str, ...], ...] = (
    ("dot product", "dot_product_on_the_vector_unit dot_product"),
    (
        "matmul in bf16, batch by batch",
        "matmul_knee_wide matmul_knee_8192 matmul_knee_4096 matmul_knee_1024 matmul_knee_h100",
    ),
    ("matmul in int8", "int8_matmul_knee_820 int8_matmul_knee"),
    ("int8 weights with bf16 arithmetic", "int8_weights_knee_wide int8_weights_knee_4096 int8_weights_knee_1024"),
    ("fp32 and bf16", "matmul_in_fp32 matmul_in_bf16"),
    ("weights of its own for every sample", "batched_weights", "intensity"),
    ("tiles and on-chip capacity", "tile_128 tile_256 tile_512 tiled_matmul_256 tiled_matmul_512"),
    ("weights on chip", "weights_on_chip_knee int8_critical_batch_hbm"),
    ("padding to the matrix unit", "padding_contraction_64 padding_rows_64 padding_v6e_128 padded_efficiency"),
    ("roofline", "attained_by_intensity ridge_v5e knee_over_bandwidth"),
    ("two streams on the cores of a GPU", "two_streams_take_turns copy_engine_overlaps"),
    (
        "overlap between its bounds",
        "tiles_of_a_matmul matmul_all_overlapped matmul_not_overlapped chunked_all_reduce",
        "rows[1].time",
    ),
    ("a contraction over two chips", "two_chip_threshold two_chip_narrow two_chip_break_even two_chip_edits"),
    (
        "four and eight chips",
        "four_chip_threshold four_chip_full_exchange eight_chip_threshold eight_chip_full_exchange",
    ),
    (
        "collectives with and without wraparound",
        "all_gather_ring all_gather_line all_reduce_one_axis all_gather_one_way",
    ),
    ("collectives bound by latency", "all_gather_latency latency_bound_shard all_gather_line_short"),
    ("all-to-all and experts", "all_to_all_torus experts_critical_batch tokens_mixture_of_experts mixtral_experts"),
    (
        "the ladder of links",
        "links_and_memory_v5e all_gather_nvlink all_gather_leaf",
        "ops.s.t_network / ops.near.time",
    ),
    ("efficiency in practice", "fixed_flops_h100_derated fixed_flops_v6e_derated"),
    (
        "FLOPs are not time",
        "ten_times_flops transformer_decode_batch64 transformer_prefill_batch64",
        "rows[1].time / rows[0].time",
    ),
    ("the memory wall", "memory_wall memory_wall_fed square_matmul_133 square_matmul_134", "mfu"),
    (
        "fused and unfused kernels",
        "relu_bn_conv_unfused relu_bn_conv_fused fuse_chain_none fuse_chain_elementwise",
        "time",
    ),
    (
        "limits of fusion",
        "fusion_without_spill fusion_half_spilled fusion_all_spilled fuse_softmax_closes divergent_branches",
    ),
    (
        "standard, flash and linear attention",
        "attention_standard_a100 attention_flash_a100 attention_linear_a100",
        "mfu",
    ),
    (
        "attention of a prompt and of a token",
        "attention_prefill_mha attention_prefill_gqa attention_decode_mha attention_decode_gqa",
    ),
    ("layers of a convolution network", "early_conv_layer late_conv_layer depthwise_conv", "intensity"),
    ("ResNet-50, layer by layer", "resnet50_fused resnet50_unfused resnet50_train"),
    ("transformers: training, prefill, decoding", "llama3_8b_one_chip attention_beside_matmuls decode_llama2_13b"),
    (
        "sparse matmuls and graph networks",
        "sparse_at_30_percent gnn_at_20_percent dense_at_95_percent gcn_layers",
        '31.5 % * run("dense_at_95_percent.yaml").time / time',
    ),
    ("gradient checkpointing", "activations_saved activations_recomputed dense_layer_recompute"),
    ("mixed precision", "zero_10_bytes parameters_that_fit llama3_8b_fp8 matmul_in_bf16"),
    ("data parallelism, 1 to 1000 GPUs", "ddp_1_to_1000_h100 ddp_1000_h100 ddp_1000_h100_4m ddp_1000_h100_16m"),
    (
        "fully sharded data parallelism",
        "gather_weights_v5p tokens_three_axes tokens_in_node llama3_8b_zero llama3_8b_hybrid",
    ),
    (
        "tensor parallelism",
        "tensor_parallel_limit llama3_8b_tensor llama3_8b_collective_matmul",
        "rows[1].t_math / rows[1].t_network",
    ),
    (
        "pipelines",
        "pipeline_bubble_8 pipeline_bubble pipeline_bubble_64 one_forward_one_backward interleaved zero_bubble paired",
        "1 - mfu",
    ),
    (
        "mixed FSDP and tensor parallelism",
        "mixed_sharding",
        "16 * sqrt((ops.x.t_network + ops.y.t_network) / t_network)",
    ),
    ("slices joined by a data-center network", "tokens_over_dcn tokens_over_dcn_many"),
    (
        "stragglers",
        "one_slow_of_eight one_slow_of_eight_by_speed slowest_of_a_thousand a_link_at_half_speed",
        "1 - mfu",
    ),
    ("failures and checkpoints", "thousand_cards_fail best_checkpoint_interval checkpoints_beside_work", "goodput"),
    ("jobs that shrink", "machines_that_shrink"),
    ("V100 and A100 in one job", "v100_a100_equal v100_a100_proportional a100_alone", "mfu"),
    (
        "data preparation that starves a GPU",
        "data_preparation_25 data_preparation_50 data_preparation_60 a100_fed_by_v100s",
        "mfu",
    ),
    ("a bottleneck that moves", "bottleneck_chain", "rows[3].bound_by"),
    ("offloading to the host", "weights_from_host_knee offloaded_adam_state sixteen_hosts_load"),
    ("the ladder of memories", "ladder_of_memories host_memory_behind_pcie data_loading_nvme"),
    ("several clouds", "two_clouds"),
    ("spot prices", "spot_machines_taken_away spot_price_with_interruptions spot_price_by_day", "effective_price"),
    ("what training costs", "month_on_eight_gpus ten_days_on_eight_gpus sixty_dollars_a_day", "training_cost"),
    ("what serving costs", "ten_milliseconds_a_request tokens_served", "cost_per_year"),
    ("6 PD and MFU", "gpt3_by_6pd gpt3_on_1000_a100 llama3_70b_on_8960_v5p gpt3_6pd"),
    ("FLOPs for a dollar", "flops_per_dollar flops_per_dollar_v5e flops_per_dollar_v5p", "flops_per_usd"),
    ("eager and compiled", "launches_apart launches_compiled"),
    ("a step of serving", "decode_llama3_70b_int8 decode_experts_int8 decode_llama3_405b_int8"),
    ("computing in memory", "dot_product_in_memory"),
    (
        "one scenario on every chip",
        "flops_per_dollar llama3_8b_block_a100 llama3_8b_block_tpu_v5p llama3_8b_block_mi300x",
        "flops_per_usd",
    ),
    ("collectives that nobody wrote", "planner_case_1 planner_case_2 planner_case_3_wide planner_case_3_wide_auto"),
)
"""What the founding documents speak of, in their order: the scenarios that run it, and the word that shows it in the
first of them, where that is not its first claim."""


@dataclass(frozen=True, slots=True)
class Entry:
    """A scenario of the library as the index lists it, with the text of its claims: its own before those of its base."""

    shelved: Shelved
    path: Path
    claims: dict[str, str]

    @property
    def number(self) -> str:
        """Its first claim."""
        return next((f"{word}: {want}" for word, want in self.claims.items()), "")

    @property
    def link(self) -> str:
        """Its name, leading to its file."""
        return f"[`{self.shelved.name}`]({self.path.relative_to(PAGE.parent).as_posix()})"


def entries() -> dict[str, Entry]:
    """Every scenario of the library by name."""
    paths = library_names()
    return {each.name: Entry(each, paths[each.name], _claims(paths[each.name])) for each in found_in_library()}


def _claims(path: Path) -> dict[str, str]:
    written = read_document(path).data
    own = written.get("expect") or {}
    whole = (read_source(path).data.get("expect") or {}) if "extends" in written else own
    said = [(word, want) for claims in (own, whole) for word, want in claims.items() if want is not None]
    return {word: str(want["value"] if isinstance(want, dict) else want) for word, want in said}


def index(found: dict[str, Entry]) -> str:
    """The text of scenarios/README.md, from every scenario of the library by name."""
    return "\n".join([*_head(), *_techniques(found), *_themes(found), ""])


def _head() -> Iterator[str]:
    yield "# Scenarios"
    yield ""
    yield "Every technique in a file that runs, and its number in a claim that is checked: `overlapse run library:NAME`,"
    yield "`overlapse check library:NAME`. Made by `python docs/library_index.py`."


def _techniques(found: dict[str, Entry]) -> Iterator[str]:
    yield from ("", "## By technique", "", "| technique | scenarios | number of the first |", "|---|---|---|")
    for technique, names, *words in TECHNIQUES:
        shown = [found[name] for name in names.split()]
        first = shown[0]
        number = f"{words[0]}: {first.claims[words[0]]}" if words else first.number
        yield f"| {technique} | {', '.join(each.link for each in shown)} | `{number}` |"


def _themes(found: dict[str, Entry]) -> Iterator[str]:
    for theme in sorted({each.shelved.theme for each in found.values()}):
        yield from ("", f"## {theme}", "", "| scenario | what it shows | its number |", "|---|---|---|")
        for each in found.values():
            if each.shelved.theme == theme:
                line = each.shelved.headline.replace("|", "\\|")
                yield f"| {each.link} | {line} | {f'`{each.number}`' if each.number else ''} |"


if __name__ == "__main__":
    PAGE.write_text(index(entries()), encoding="utf-8")
