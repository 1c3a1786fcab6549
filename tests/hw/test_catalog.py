"""The catalogue: every chip loads, has its sources, and carries the published figures; what a description must hold to.

The figures typed here are those of the sources named beside them, not of the catalogue's files.
"""

from __future__ import annotations

import csv
import re
from pathlib import Path

import pytest
from pydantic import ValidationError

from analysis import Summary
from hw import Chip, Link, Memory, Problems, System, chip_names, load_chip
from hw.chips import build_chip
from hw.input import parse_document
from simulator import parse_graph, simulate
from tests.support.strategies import chip_with, show_error
from tests.support.systems import MINIMAL, chip_errors

NVLINK = {"v100_sxm2_32gb", "a100_40gb_sxm", "a100_80gb_sxm", "h100_sxm", "h200", "b200"}
ICI = {"tpu_v3", "tpu_v4", "tpu_v5e", "tpu_v5p", "tpu_v6e", "tpu_v7"}


def test_there_are_two_dozen_chips_and_the_demanded_ones_among_them() -> None:
    assert len(chip_names()) >= 24
    assert set(chip_names()) >= NVLINK | ICI
    assert chip_names() == sorted(chip_names())


@pytest.mark.parametrize("name", sorted(NVLINK | ICI))
def test_the_demanded_links(name: str) -> None:
    chip = load_chip(name)
    assert ("nvlink" if name in NVLINK else "ici") in chip.links
    assert "pcie" in chip.links
    assert chip.kind == ("gpu" if name in NVLINK else "tpu")


@pytest.mark.parametrize("name", chip_names())
def test_every_chip_loads_under_its_own_name_with_a_source_for_every_figure(name: str) -> None:
    chip = load_chip(name)
    assert chip.name == name
    missing = [section for section in chip.figures() if not chip.sources.get(section, "").strip()]
    assert not missing
    assert set(chip.sources) == set(chip.figures())


def test_no_section_is_left_out_of_the_figures() -> None:
    """A chip that has everything must have a source for everything: the sections are listed here by hand."""
    chip = chip_with("h100_sxm", {"disk": {"capacity": "1 TB", "bandwidth": "1 GB/s"}})
    links = [f"links.{name}" for name in chip.links]
    levels = [f"levels.{name}" for name in ("registers", "l1")]
    memories = ["hbm", "on_chip", *levels, "host", "disk"]
    wanted = ["matrix_unit", "vector_unit", *memories, *links, "price", "power", "calibration"]
    assert sorted(chip.figures()) == sorted(wanted)


@pytest.mark.parametrize("name", chip_names())
def test_memory_gets_slower_away_from_the_chip(name: str) -> None:
    chip = load_chip(name)
    levels = [memory.bytes_per_s for memory in (chip.on_chip, chip.hbm, chip.host, chip.disk) if memory is not None]
    assert levels == sorted(levels, reverse=True)


@pytest.mark.parametrize("name", [name for name in chip_names() if load_chip(name).matrix_unit.derived])
def test_a_peak_re_derived_from_its_units_is_within_two_percent(name: str) -> None:
    matrix = load_chip(name).matrix_unit
    derived = matrix.derived
    assert derived is not None
    got = derived.units * derived.flops_per_cycle * derived.clock_hz
    want = matrix.peak_flops_per_s[derived.dtype]
    print(show_error(f"{name} units x FLOP/cycle x clock", got, want))
    assert got == pytest.approx(want, rel=0.02)


# "How to Scale Your Model" (2026 edition), chapter "How to Think About TPUs", chip and interconnect tables and the
# sentence on PCIe and DCN below them: bf16 FLOP/s, int8 OP/s, HBM bytes, HBM B/s, ICI B/s one way, links, PCIe B/s, DCN B/s
BOOK_TPUS = {
    "tpu_v3": (1.4e14, 1.4e14, 32e9, 9.0e11, 1.0e11, 4, 1.6e10, 6.25e9),
    "tpu_v4": (2.75e14, 2.75e14, 32e9, 1.2e12, 4.5e10, 6, 1.6e10, 6.25e9),
    "tpu_v5p": (4.59e14, 9.18e14, 96e9, 2.8e12, 9.0e10, 6, 1.6e10, 6.25e9),
    "tpu_v5e": (1.97e14, 3.94e14, 16e9, 8.2e11, 4.5e10, 4, 1.6e10, 3.125e9),
    "tpu_v6e": (9.20e14, 1.84e15, 32e9, 1.6e12, 9.0e10, 4, 3.2e10, 1.25e10),
    "tpu_v7": (2.30e15, None, 192e9, 7.4e12, 9.0e10, 6, 1.6e10, 1.25e10),
}


@pytest.mark.parametrize("name", sorted(BOOK_TPUS))
def test_the_tpus_are_as_the_book_prints_them(name: str) -> None:
    chip = load_chip(name)
    bf16, int8, capacity, bandwidth, ici, count, pcie, dcn = BOOK_TPUS[name]
    assert chip.matrix_unit.peak_flops_per_s["bf16"] == bf16
    assert chip.matrix_unit.peak_flops_per_s.get("int8") == int8
    assert chip.hbm == Memory(capacity=capacity, bandwidth=bandwidth)
    assert (chip.links["ici"].bytes_per_s, chip.links["ici"].count) == (ici, count)
    assert chip.links["pcie"].egress_bytes_per_s == pcie
    assert chip.links["dcn"].egress_bytes_per_s == dcn


# NVIDIA data sheets (dense): bf16 FLOP/s (V100: fp16), HBM bytes and B/s, NVLink B/s one way of all ports
SHEET_GPUS = {
    "v100_sxm2_32gb": ("fp16", 125e12, 32e9, 900e9, 150e9),
    "a100_40gb_sxm": ("bf16", 312e12, 40e9, 1555e9, 300e9),
    "a100_80gb_sxm": ("bf16", 312e12, 80e9, 2039e9, 300e9),
    "h100_sxm": ("bf16", 989e12, 80e9, 3.35e12, 450e9),
    "h200": ("bf16", 989e12, 141e9, 4.8e12, 450e9),
    "b200": ("bf16", 2250e12, 192e9, 8.0e12, 900e9),
    "b300": ("bf16", 2250e12, 288e9, 8.0e12, 900e9),
    "gb300": ("bf16", 2500e12, 279e9, 8.0e12, 900e9),
}


@pytest.mark.parametrize("name", sorted(SHEET_GPUS))
def test_the_gpus_are_as_their_data_sheets_print_them(name: str) -> None:
    chip = load_chip(name)
    dtype, peak, capacity, bandwidth, egress = SHEET_GPUS[name]
    got = {str(known): rate for known, rate in chip.matrix_unit.peak_flops_per_s.items()}[dtype]
    for what, value, want, tolerance in (
        (f"{dtype} FLOP/s", got, peak, 0.01),  # sheets print 989 or 989.4
        (
            "HBM bytes",
            chip.hbm.capacity_bytes,
            capacity,
            0.07,
        ),  # a sheet's GB are GiB, less what is kept for the driver
        ("HBM B/s", chip.hbm.bytes_per_s, bandwidth, 0.01),
        ("NVLink B/s", chip.links["nvlink"].egress_bytes_per_s, egress, 0.001),
    ):
        print(show_error(f"{name} {what}", value, want))
        assert value == pytest.approx(want, rel=tolerance)


# what nvidia-smi reports as a GPU's memory, in MiB
REPORTED_MIB = {
    "h100_sxm": 81_559,
    "h200": 143_771,
    "b200": 183_359,
    "b300": 275_040,
    "a100_80gb_sxm": 81_251,
    "a100_40gb_sxm": 40_536,
    "v100_sxm2_32gb": 32_480,
    "l40s": 46_068,
    "t4": 15_360,
}


@pytest.mark.parametrize("name", sorted(REPORTED_MIB))
def test_memory_is_what_a_program_can_use_of_it(name: str) -> None:
    assert load_chip(name).hbm.capacity_bytes == REPORTED_MIB[name] * 2**20


@pytest.mark.parametrize("name", [name for name in chip_names() if load_chip(name).kind == "gpu"])
def test_gpus_have_no_less_memory_than_their_sheets_say_but_for_what_gddr_keeps(name: str) -> None:
    chip = load_chip(name)
    printed = re.search(r"usable bytes of the (\d+) GB", chip.sources["hbm"])
    assert printed, name
    assert 1.0 < chip.hbm.capacity_bytes / (int(printed[1]) * 1e9) < 2**30 / 1e9


def test_weights_that_fill_80_gib_but_for_a_little_fit_an_h100() -> None:
    ops = parse_graph(["y:bf16[1] = custom(w:bf16[N], bytes=84 GB)"], {"N": 42_000_000_000})
    for name, fits in (("h100_sxm", True), ("a100_80gb_sxm", True), ("a100_40gb_sxm", False)):
        result = simulate(ops, System(load_chip(name)))
        assert Summary(result.plan, lambda done=result: done)["fits"] is fits, name  # type: ignore[misc]


# peak over HBM bandwidth, from the figures above
RIDGES = {
    "tpu_v5e": 240.2439,
    "h100_sxm": 295.2239,
    "tpu_v6e": 575.0,
    "tpu_v5p": 163.9286,
    "tpu_v4": 229.1667,
    "tpu_v7": 310.8108,
}


@pytest.mark.parametrize("name", sorted(RIDGES))
def test_ridge_points(name: str) -> None:
    got = load_chip(name).ridge_flop_per_byte("bf16")
    assert got is not None
    print(show_error(f"{name} ridge, FLOP/B", got, RIDGES[name]))
    assert got == pytest.approx(RIDGES[name], rel=1e-6)
    assert load_chip(name).ridge_flop_per_byte("fp64") is None or name == "h100_sxm"


SHARED_CSV = Path(__file__).parents[3] / "shared" / "data" / "chips.csv"
CSV_NAMES = {
    "TPU v3": "tpu_v3", "TPU v4p": "tpu_v4", "TPU v5p": "tpu_v5p", "TPU v5e": "tpu_v5e",
    "TPU v6e (Trillium)": "tpu_v6e", "TPU7x": "tpu_v7", "V100": "v100_sxm2_32gb", "H200": "h200", "B200": "b200",
}  # fmt: skip


@pytest.mark.skipif(not SHARED_CSV.is_file(), reason="the table of published figures is not beside this checkout")
def test_the_catalogue_agrees_with_the_table_of_published_figures() -> None:
    with SHARED_CSV.open(newline="") as file:
        rows = {row["chip"]: row for row in csv.DictReader(file)}
    for published, name in CSV_NAMES.items():
        chip, row = load_chip(name), rows[published]
        link = chip.links["nvlink" if chip.kind == "gpu" else "ici"]
        per_row = link.egress_bytes_per_s if chip.kind == "gpu" else link.bytes_per_s
        for column, value in (
            ("hbm_bytes", chip.hbm.capacity_bytes),
            ("hbm_bw", chip.hbm.bytes_per_s),
            ("link_oneway_bw", per_row),
            ("links_per_chip", link.count),
        ):
            match = re.match(r"[\d.]+(e\d+)?", row[column])
            assert match, (published, column)
            print(show_error(f"{name} {column}", value, float(match[0])))
            tolerance = 0.07 if (chip.kind, column) == ("gpu", "hbm_bytes") else 0.001  # usable GiB, not a sheet's GB
            assert value == pytest.approx(float(match[0]), rel=tolerance)


# Descriptions and their invariants


def test_descriptions_are_frozen() -> None:
    chip = load_chip("tpu_v5e")
    for thing, field in ((chip, "name"), (chip.hbm, "bytes_per_s"), (chip.links["ici"], "count")):
        with pytest.raises(ValidationError, match="frozen"):
            setattr(thing, field, 1)


def test_a_chip_handed_out_twice_cannot_be_changed_by_the_first_who_got_it() -> None:
    """Frozen all the way down: `load_chip` gives everyone the same object."""
    links = load_chip("gaudi2").links
    before = dict(links)
    try:
        with pytest.raises(TypeError):
            links["ici"] = Link(bandwidth=1.0)
    finally:
        for name in set(links) - set(before):
            del links[name]


def test_a_link_has_the_bandwidth_of_all_its_ports() -> None:
    assert Link(bandwidth=25e9, count=18).egress_bytes_per_s == 450e9


def test_a_chip_needs_little() -> None:
    problems = Problems()
    chip = build_chip(parse_document(MINIMAL, "toy.yaml"), problems)
    assert isinstance(chip, Chip)
    assert not problems
    assert (chip.default_link, chip.on_chip, chip.price_usd_per_h) == (None, None, None)


@pytest.mark.parametrize(
    ("line", "place", "words"),
    [
        (
            "on_chip: {capacity: 1 MB, bandwidth: 0.5 GB/s}",
            "4:34",
            "from the chip: hbm has 1 GB/s, on_chip, which is nearer, only 500 MB/s",
        ),
        ("host: {capacity: 1 TB, bandwidth: 2 GB/s}", "5:35", "must not get faster away from the chip: host"),
        ("disk: {capacity: 1 TB, bandwidth: 2 GB/s}", "5:35", "must not get faster away from the chip: disk"),
        ("host: {capacity: 1 TB}", "5:7", "'host.bandwidth' is missing"),
        ("links: {a: {bandwidth: 1 GB}}", "5:24", "'1 GB' is an amount of data, links.a.bandwidth wants a bandwidth"),
        ("links: {a: {bandwidth: 0 GB/s}}", "5:24", "links.a.bandwidth must be more than 0"),
        ("links: {a: {bandwidth: 1 GB/s, latency: -1 us}}", "5:41", "links.a.latency must be 0 or more"),
        ("links: {a: {bandwidth: 1 GB/s, count: 0}}", "5:39", "links.a.count"),
        ("links: {a: {bandwidth: 1 GB/s, count: true}}", "5:39", "links.a.count"),
        ("links: {a: {bandwith: 1 GB/s}}", "5:13", "unknown key 'links.a.bandwith', did you mean 'links.a.bandwidth'?"),
        ("price: -1 USD/h", "5:8", "price must be 0 or more"),
        ("price: .nan", "5:8", "price"),
        ("kind: npu", "5:7", "'npu' will not do for kind"),
        ("sources: {hbn: x}", "5:11", "unknown section 'hbn', did you mean 'hbm'?"),
        ("calibration: {measured: {hbm: 1.2}}", "5:31", "must be more than 0 and at most 1"),
        ("calibration: {measured: {hbm: 110 %}}", "5:31", "must be more than 0 and at most 1"),
    ],
)
def test_a_broken_invariant_is_refused_at_its_place(line: str, place: str, words: str) -> None:
    errors = chip_errors(parse_document(f"{MINIMAL}{line}\n", "toy.yaml"))
    assert any(error.startswith(f"toy.yaml:{place}: ") and words in error for error in errors), errors
    # a misspelt key is also a missing one
    assert all("is missing" in error for error in errors if words not in error)


@pytest.mark.parametrize(
    ("old", "new", "place"),
    [
        ("peak: {bf16: 1 TFLOP/s}", "peak: {bf16: 1 TFLOP/s}, tile: [0, 128]", "2:46"),
        ("peak: {bf16: 1 TFLOP/s}", "peak: {bf17: 1 TFLOP/s}", "2:"),
        ("peak: {bf16: 1 TFLOP/s}", "peak: {}", "2:21"),
        ("1 TFLOP/s}", "1 TFLOP/s}, derived: {units: 10, flops_per_cycle: 98, clock: 1 GHz}", "2:"),
        ("1 TFLOP/s}", "1 TFLOP/s}, derived: {units: 1, flops_per_cycle: 1, clock: 1 THz, dtype: fp8}", "2:"),
        ("capacity: 1 GB,", "capacity_bytes: 1 GB,", "4:"),
        ("bandwidth: 1 GB/s", "bytes_per_s: 1 GB/s", "4:"),
    ],
)
def test_a_wrong_section_is_refused_in_its_line(old: str, new: str, place: str) -> None:
    """The last two: a file has one vocabulary, and the names of the Python fields are not in it."""
    assert old in MINIMAL
    errors = chip_errors(parse_document(MINIMAL.replace(old, new), "toy.yaml"))
    assert errors[0].startswith(f"toy.yaml:{place}"), errors[0]


def test_a_derived_peak_may_be_off_by_two_percent_but_not_by_three() -> None:
    text = MINIMAL.replace("1 TFLOP/s}", "1 TFLOP/s}, derived: {units: 1, flops_per_cycle: %d, clock: 1 GHz}")
    problems = Problems()
    assert build_chip(parse_document(text % 1019, "toy.yaml"), problems)
    assert not problems
    assert (
        "units x flops_per_cycle x clock gives 1.03 TFLOP/s, the bf16 peak says 1 TFLOP/s"
        in chip_errors(parse_document(text % 1030, "toy.yaml"))[0]
    )
