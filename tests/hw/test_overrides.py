"""Chips by reference: by name or path, with other figures over their own, and what is said of wrong ones."""

from __future__ import annotations

from pathlib import Path

import pytest

from hw import Mark, Memory, SpecError, load_chip
from hw.chips import chip_document, load_kernel_times, override
from hw.input import parse_document
from tests.support.strategies import chip_with
from tests.support.systems import MINIMAL, chip_errors


def test_references(tmp_path: Path) -> None:
    path = tmp_path / "toy.yaml"
    path.write_text(MINIMAL)
    assert load_chip(str(path)).name == "toy"
    with pytest.raises(SpecError, match=r"^s:2:3: unknown chip 'h100_smx', did you mean 'h100_sxm'\?"):
        chip_document("h100_smx", Mark("s", 2, 3))
    with pytest.raises(SpecError, match=r"^s:2:3: there is no chip file"):
        chip_document("none.yaml", Mark("s", 2, 3), tmp_path)
    with pytest.raises(SpecError, match=r"^s:2:3: "):
        chip_document("x" * 300 + ".yaml", Mark("s", 2, 3), tmp_path)


def test_a_chip_file_is_read_as_it_is_now(tmp_path: Path) -> None:
    path = tmp_path / "toy.yaml"
    for rate in (1e9, 2e9):
        path.write_text(MINIMAL.replace("bandwidth: 1 GB/s", f"bandwidth: {rate} B/s"))
        assert load_chip(str(path)).hbm.bytes_per_s == rate


def test_a_chip_is_loaded_with_other_figures_in_the_words_of_a_scenario() -> None:
    changes = {"hbm.bandwidth": "4 TB/s", "links.nvlink.count": 12, "price": "3 USD/h"}
    chip = load_chip("h100_sxm", set=changes)
    assert chip == chip_with("h100_sxm", changes)
    assert (chip.hbm.bytes_per_s, chip.links["nvlink"].count, chip.price_usd_per_h) == (4e12, 12, 3.0)
    assert load_chip("h100_sxm").hbm.bytes_per_s == 3.35e12


def test_a_loaded_chip_can_be_given_a_link_but_only_whole(tmp_path: Path) -> None:
    path = tmp_path / "toy.yaml"
    path.write_text(MINIMAL)
    chip = load_chip(str(path), set={"links.ethernet": {"bandwidth": "50 GB/s", "count": 2}})
    assert chip.links["ethernet"].egress_bytes_per_s == 1e11
    wrong = {"links.nvlnk.count": 3, "hbm.bandwith": "4 TB/s", "on_chip.capacity": "3 GB/s"}
    with pytest.raises(SpecError) as error:
        load_chip("h100_sxm", set=wrong)
    assert [str(each).partition(":1:1: ")[::2] for each in error.value.problems] == [
        (
            "h100_sxm, set hbm.bandwith",
            "unknown key 'hbm.bandwith', did you mean 'hbm.bandwidth'? Allowed: bandwidth, capacity, latency",
        ),
        (
            "h100_sxm, set links.nvlnk.count",
            "unknown link 'nvlnk', did you mean 'nvlink'? Allowed: infiniband, nvlink, pcie (the chip does not have it)",
        ),
        (
            "h100_sxm, set on_chip.capacity",
            "'3 GB/s' is a bandwidth, on_chip.capacity wants bytes, e.g. '80 GB'",
        ),
    ]


def test_an_override_changes_the_figure_and_nothing_else() -> None:
    base, other = load_chip("tpu_v5e"), chip_with("tpu_v5e", {"hbm.bandwidth": "8.1e11 B/s", "links.ici.count": 2})
    assert other.hbm.bytes_per_s == 8.1e11
    assert other.links["ici"].count == 2
    assert other.links["ici"].bytes_per_s == base.links["ici"].bytes_per_s
    assert other.model_copy(update={"hbm": base.hbm, "links": base.links}) == base
    assert load_chip("tpu_v5e").hbm.bytes_per_s == 8.2e11


def test_an_override_can_add_a_memory() -> None:
    chip = chip_with("tpu_v5e", {"host.capacity": "512 GB", "host.bandwidth": "100 GB/s"})
    assert chip.host == Memory(capacity=512e9, bandwidth=100e9)


@pytest.mark.parametrize(
    ("values", "place", "words"),
    [
        ({"hbm.bandwith": "8.2e11 B/s"}, "set:1:1", "unknown key 'hbm.bandwith', did you mean 'hbm.bandwidth'?"),
        ({"hbm.capacity": "80 GB/s"}, "set:1:20", "'80 GB/s' is a bandwidth, hbm.capacity wants bytes"),
        ({"price": 1, "hbm.capacity": 0}, "set:2:20", "hbm.capacity must be more than 0"),
        ({"hbm": {"capacity": 1, "bandwidth": -1}}, "set:1:20", "hbm.bandwidth must be more than 0"),
        ({"hbm.bandwidth": "1 PB/s"}, "set:1:20", "must not get faster away from the chip"),
        ({"on_chip.bandwidth": "1 GB/s"}, "set:1:20", "must not get faster away from the chip"),
        ({"links.ici.count": int("f" * 5000, 16)}, "set:1:20", "links.ici.count"),
        ({"name": int("f" * 5000, 16)}, "set:1:20", "name"),
    ],
)
def test_a_wrong_override_is_reported_where_it_was_written(values: dict[str, object], place: str, words: str) -> None:
    with pytest.raises(SpecError) as caught:
        chip_with("tpu_v5e", values)
    assert str(caught.value).startswith(f"{place}: "), str(caught.value)
    assert words in str(caught.value)


def test_overrides_of_a_file_that_holds_no_chip() -> None:
    document = parse_document("- a\n", "list.yaml")
    override(document, {"hbm.bandwidth": 1}, {"hbm.bandwidth": (Mark("set", 1), Mark("set", 1))})
    assert chip_errors(document)[0].startswith("list.yaml:1:1: the file wants a mapping")


def test_kernels_of_an_architecture_are_read_when_somebody_asks_for_them() -> None:
    load_kernel_times.cache_clear()
    measured = load_chip("h100_sxm").calibration.measured
    assert measured is not None
    assert load_kernel_times.cache_info().currsize == 0
    assert measured.kernels == load_kernel_times("hopper")
    with pytest.raises(SpecError, match="unknown architecture 'hoper', did you mean 'hopper'"):
        load_chip("h100_sxm", set={"calibration.measured.kernels": "hoper"})


def test_measured_kernels_want_the_cores_that_they_go_over() -> None:
    """Without them waves would be counted over a single core, and every kernel be many times too slow."""
    with pytest.raises(SpecError, match=r"matrix_unit\.cores is missing"):
        load_chip("tpu_v3", set={"calibration": {"measured": {"kernels": "hopper"}}})
    cores = {"matrix_unit.cores": 4}
    assert load_chip("tpu_v3", set={"calibration": {"measured": {"kernels": "hopper"}}, **cores}).matrix_unit.cores == 4
