"""Chakra execution traces: computations by their numbers, collectives by their bytes, dependencies kept; closed forms."""

from __future__ import annotations

import json
import struct
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from hw import SpecError
from hw.input import parse_document
from scenarios import build_scenario, summarise
from scenarios.importers import Imported, ImportOptions, import_files
from tests.support.mutations import refusals
from tests.support.protobuf import content, packed, stream, varint, whole

COMP, SEND, RECV, COLL, LOAD, META = 4, 5, 6, 7, 2, 1
ALL_REDUCE, ALL_GATHER, ALL_TO_ALL, REDUCE_SCATTER, BARRIER = 0, 2, 6, 7, 9
NAMES = {COMP: "COMP_NODE", SEND: "COMM_SEND_NODE", RECV: "COMM_RECV_NODE", COLL: "COMM_COLL_NODE", LOAD: "MEM_LOAD_NODE",
         META: "METADATA_NODE"}  # fmt: skip
PEAK, HBM, NVLINK = 9.89e14, 3.35e12, 450e9

Node = tuple[int, str, int, Sequence[int], dict[str, Any]]


def wire(node: Node) -> bytes:
    """A node as a message of the schema."""
    number, name, kind, deps, attributes = node
    made = whole(1, number) + content(2, name) + whole(3, kind) + packed(5, deps)
    if "duration" in attributes:
        made += whole(7, attributes["duration"])
    for key, value in attributes.items():
        if isinstance(value, list):
            said = content(28, b"".join(whole(1, each) for each in value))
        else:
            said = content(29, value) if isinstance(value, str) else whole(27 if isinstance(value, bool) else 9, value)
        made += content(10, content(1, key) + said)
    return made


def text(node: Node) -> str:
    """A node as Chakra's own printer has it: whole numbers of 64 bits in quotes."""
    number, name, kind, deps, attributes = node
    said = [{"name": key, **_value(value)} for key, value in attributes.items() if key != "duration"]
    data = {"id": str(number), "name": name, "type": NAMES[kind], "dataDeps": [str(each) for each in deps], "attr": said,
            "durationMicros": str(attributes.get("duration", 0))}  # fmt: skip
    return json.dumps(data, indent=2)


def _value(value: Any) -> dict[str, Any]:
    if isinstance(value, list):
        return {"boolList": {"values": value}}
    if isinstance(value, bool):
        return {"boolVal": value}
    return {"stringVal": value} if isinstance(value, str) else {"int64Val": str(value)}


def file(path: Path, nodes: Sequence[Node]) -> Path:
    if path.suffix == ".json":
        path.write_text("\n".join(['{"version": "0.0.4"}', *map(text, nodes)]))
    else:
        path.write_bytes(stream([content(1, "0.0.4"), *map(wire, nodes)]))
    return path


def time_us(made: Imported) -> float:
    scenario = build_scenario(parse_document(made.text, "made.yaml"), Path("made.yaml"))
    return float(str(summarise(scenario)["time"])) * 1e6


def layer(group: str = "") -> list[Node]:
    """Two computations, a collective behind the first of them, and a mark that costs nothing between."""
    more = {"pg_name": group} if group else {}
    return [
        (1, "fc1", COMP, [], {"num_ops": 989_000_000_000, "tensor_size": 1_000_000}),
        (2, "mark", META, [1], {}),
        (3, "grads", COLL, [2], {"comm_type": ALL_REDUCE, "comm_size": 450_000_000, "is_cpu_op": False, **more}),
        (4, "fc2", COMP, [1], {"num_ops": 0, "tensor_size": 335_000_000}),
        (5, "step", COMP, [3, 4], {"duration": 250}),
    ]


@pytest.mark.parametrize("suffix", [".et", ".json"])
def test_a_rank_stands_for_all(tmp_path: Path, suffix: str) -> None:
    """1 ms of FLOPs; then 100 us of bytes beside an all-reduce of 2 x 450 MB x 7/8 / 450 GB/s = 1.75 ms; then 250 us."""
    made = import_files([file(tmp_path / f"llm.0{suffix}", layer())], options=ImportOptions(dims={"ranks": 8}))
    assert made.system == {"chip": "h100_sxm", "topology": "switch(8) over nvlink", "mesh": {"X": 8}}
    assert time_us(made) == pytest.approx(1000 + 1750 + 250, rel=2e-3)
    assert any("1 nodes of type METADATA_NODE" in note for note in made.notes)
    assert not made.unpriced


def test_protobuf_and_json_make_the_same_scenario(tmp_path: Path) -> None:
    one, other = (import_files([file(tmp_path / f"llm.0{end}", layer())]).ops for end in (".et", ".json"))
    assert one == other


@pytest.mark.parametrize(
    ("number", "expected_s"),
    [
        (ALL_GATHER, 3 * 45e6 / NVLINK),  # what each gives goes to three others
        (REDUCE_SCATTER, 0.75 * 45e6 / NVLINK),
        (ALL_TO_ALL, 0.75 * 45e6 / NVLINK),
        (ALL_REDUCE, 2 * 0.75 * 45e6 / NVLINK),
    ],
)
def test_sizes_are_what_each_rank_gives(tmp_path: Path, number: int, expected_s: float) -> None:
    nodes: list[Node] = [(1, "c", COLL, [], {"comm_type": number, "comm_size": 45_000_000})]
    made = import_files([file(tmp_path / "a.0.et", nodes)], options=ImportOptions(dims={"ranks": 4}))
    assert time_us(made) == pytest.approx(expected_s * 1e6, rel=1e-3)


def test_groups_of_a_file_of_their_own(tmp_path: Path) -> None:
    """Alike ranks: the group of rank 0 says which axis it is, four of eight next to each other."""
    (tmp_path / "groups.json").write_text('{"tp": [0, 1, 2, 3], "dp": [0, 4]}')
    files = [tmp_path / "groups.json", *(file(tmp_path / f"a.{rank}.et", layer("tp")) for rank in range(8))]
    made = import_files(files)
    assert any("over=" in line and "all_reduce" in line for line in made.ops)
    assert time_us(made) == pytest.approx(1000 + 2 * 0.75 * 1000 + 250, rel=2e-3)


def along(*dims: bool) -> list[Node]:
    """An all-reduce of 45 MB along dims of a network."""
    return [(1, "c", COLL, [], {"comm_type": ALL_REDUCE, "comm_size": 45_000_000, "involved_dim": list(dims)})]


@pytest.mark.parametrize("suffix", [".et", ".json"])
@pytest.mark.parametrize(("dims", "size"), [((True, False), 4), ((False, True), 2), ((True, True), 8)])
def test_collectives_along_dims_of_a_network(tmp_path: Path, suffix: str, dims: tuple[bool, bool], size: int) -> None:
    """Four next to each other, two four apart, or all eight; 2 (p-1)/p of 45 MB."""
    options = ImportOptions(dims={"dim0": 4, "dim1": 2})
    made = import_files([file(tmp_path / f"a.0{suffix}", along(*dims))], options=options)
    assert time_us(made) == pytest.approx(2 * (size - 1) / size * 100, rel=1e-3)
    assert not any("taken over all ranks" in note for note in made.notes)


def test_dims_of_which_nobody_says_how_large_they_are(tmp_path: Path) -> None:
    path = file(tmp_path / "a.0.et", along(True, False))
    made = import_files([path], options=ImportOptions(dims={"ranks": 8}))
    assert any("1 collectives go along some dims" in note and "--dim dim0=8" in note for note in made.notes)
    assert time_us(made) == pytest.approx(2 * 7 / 8 * 100, rel=1e-3)


def test_ranks_that_differ_have_groups_along_dims(tmp_path: Path) -> None:
    """Two groups of two: 0 with 1, 2 with 3. Rank 3 begins 1 ms late; the other group does not wait for it."""
    late: list[Node] = [
        (1, "work", COMP, [], {"num_ops": 989_000_000_000, "tensor_size": 1}),
        (2, "c", COLL, [1], along(True, False)[0][4]),
    ]
    files = [file(tmp_path / f"a.{rank}.et", late if rank == 3 else along(True, False)) for rank in range(4)]
    made = import_files(files, options=ImportOptions(dims={"dim0": 2, "dim1": 2}))
    assert time_us(made) == pytest.approx(1000 + 100, rel=2e-3)
    assert sum(" = all_reduce(" in line for line in made.ops) == 2


def test_ranks_that_differ_meet_in_their_collectives(tmp_path: Path) -> None:
    """Rank 1 computes for 3 ms and not for 1: both are added up from then on, in 2 x 1/2 x 1 ms."""
    slow = layer()
    slow[0] = (1, "fc1", COMP, [], {"num_ops": 3 * 989_000_000_000, "tensor_size": 1_000_000})
    made = import_files([file(tmp_path / "a.0.et", layer()), file(tmp_path / "a.1.et", slow)])
    assert time_us(made) == pytest.approx(3000 + 1000 + 250, rel=2e-3)
    assert sum(" = all_reduce(" in line for line in made.ops) == 1


def test_what_is_sent_is_received(tmp_path: Path) -> None:
    """1 ms on rank 0, 45 MB to rank 1 in 100 us, 1 ms there."""
    work = {"num_ops": 989_000_000_000, "tensor_size": 1}
    ends = {"comm_src": 0, "comm_dst": 1, "comm_size": 45_000_000}
    first: list[Node] = [(1, "a", COMP, [], work), (2, "s", SEND, [1], ends)]
    second: list[Node] = [(1, "r", RECV, [], ends), (2, "b", COMP, [1], work)]
    made = import_files([file(tmp_path / "a.0.et", first), file(tmp_path / "a.1.et", second)])
    assert time_us(made) == pytest.approx(2100, rel=2e-3)


def test_what_has_no_rule_is_listed_and_refused(tmp_path: Path) -> None:
    nodes = [*layer(), (6, "all", COLL, [5], {"comm_type": BARRIER, "comm_size": 8})]
    path = file(tmp_path / "a.0.et", nodes)
    made = import_files([path], options=ImportOptions(dims={"ranks": 8}))
    assert [(each.kind, each.count, each.nbytes) for each in made.unpriced] == [("BARRIER", 1, 8)]
    with pytest.raises(SpecError, match=r"custom needs at least one of flops=, bytes=, time="):
        time_us(made)
    priced = import_files([path], options=ImportOptions(dims={"ranks": 8}, unknown="bytes"))
    assert time_us(priced) > 0
    assert any("priced by their bytes" in line for line in priced.told())


def test_a_circle_is_named(tmp_path: Path) -> None:
    nodes: list[Node] = [(1, "a", COMP, [2], {"num_ops": 1}), (2, "b", COMP, [1], {"num_ops": 1})]
    with pytest.raises(SpecError, match="2 nodes wait for each other in a circle, among them 1 a, 2 b"):
        import_files([file(tmp_path / "a.0.et", nodes)])


@pytest.mark.parametrize("suffix", [".et", ".json"])
def test_broken_files_are_read_or_refused(tmp_path: Path, suffix: str) -> None:
    path = file(tmp_path / f"a.0{suffix}", layer())
    said = refusals(path.read_bytes(), path, lambda each: import_files([each], "chakra").text)
    assert len(said) > 10


@pytest.mark.parametrize("name", ["rank", "dim1", "batch"])
def test_sizes_of_what_a_network_has_not_are_refused(tmp_path: Path, name: str) -> None:
    """Its dims are said one after another from dim0; dim1 without it would say nothing."""
    path = file(tmp_path / "llm.0.et", layer())
    with pytest.raises(SpecError, match=rf"--dim:1:1: unknown dim '{name}'.*Allowed: dim0, ranks"):
        import_files([path], options=ImportOptions(dims={name: 8}))


NUMBERS = {
    "double": (3, "d"), "float": (5, "f"), "int32": (7, ""), "int64": (9, ""), "uint32": (11, ""), "uint64": (13, ""),
    "sint32": (15, "zigzag"), "sint64": (17, "zigzag"), "fixed32": (19, "I"), "fixed64": (21, "Q"), "sfixed32": (23, "i"),
    "sfixed64": (25, "q"),
}  # fmt: skip
"""Fields of the schema that hold one number, and how it stands there: as a varint, or in 4 or 8 bytes."""


@pytest.mark.parametrize("kind", NUMBERS)
def test_numbers_of_every_kind_of_the_schema(tmp_path: Path, kind: str) -> None:
    """One second of HBM, said in each way."""
    field, code = NUMBERS[kind]
    size = 2**20
    if code in ("", "zigzag"):
        said = whole(field, 2 * size if code else size)
    else:
        body = struct.pack(f"<{code}", size)
        said = varint(field << 3 | {4: 5, 8: 1}[len(body)]) + body
    node = whole(1, 1) + content(2, "copy") + whole(3, COMP) + content(10, content(1, "tensor_size") + said)
    path = tmp_path / "one.0.et"
    path.write_bytes(stream([content(1, "0.0.4"), node]))
    assert time_us(import_files([path])) == pytest.approx(size / HBM * 1e6, rel=1e-6)


@pytest.mark.parametrize("field", [8, 10, 12, 14, 16, 18, 20, 22, 24, 26, 28])
def test_lists_of_every_kind_of_the_schema(tmp_path: Path, field: int) -> None:
    """Of two dims of a network a collective goes along the second: 2 (p-1)/p of 45 MB between two ranks."""
    one = 2 if field in (16, 18) else 1  # in zigzag
    code = {20: "I", 22: "Q", 24: "i", 26: "q"}.get(field)
    inside = struct.pack(f"<2{code}", 0, one) if code else varint(0) + varint(one)
    attributes = content(10, content(1, "comm_type") + whole(9, ALL_REDUCE))
    attributes += content(10, content(1, "comm_size") + whole(9, 45_000_000))
    attributes += content(10, content(1, "involved_dim") + content(field, content(1, inside)))
    node = whole(1, 1) + content(2, "grads") + whole(3, COLL) + attributes
    path = tmp_path / "one.0.et"
    path.write_bytes(stream([content(1, "0.0.4"), node]))
    made = import_files([path], options=ImportOptions(dims={"dim0": 4, "dim1": 2}))
    assert time_us(made) == pytest.approx(100, rel=1e-3)


def test_a_trace_without_a_message_about_it_begins_with_a_node(tmp_path: Path) -> None:
    """As generators write it that say no version: the first node is work, not a head that is passed by."""
    whole_trace = file(tmp_path / "whole.0.et", layer())
    bare = tmp_path / "bare.0.et"
    bare.write_bytes(stream(map(wire, layer())))
    made = [import_files([path], options=ImportOptions(dims={"ranks": 8})) for path in (whole_trace, bare)]
    assert made[0].ops == made[1].ops
