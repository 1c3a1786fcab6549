"""Two hundred wrong files: exit 2, a located message, no traceback, two seconds at most, every time."""

from __future__ import annotations

import copy
import random
import re
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from hw import RunError, SpecError
from hw.input import Key, parse_document
from scenarios import Outcome, build_scenario
from tests.support.cases import overlapse

GOOD = """\
name: good
about: A small scenario that runs.
system:
  chip: tpu_v5e
  topology: line(2)
  mesh: {X: 2}
  set: {hbm.bandwidth: 8.1e11 B/s, links.ici.latency: 1 us}
workload:
  dims: {B: 64, D: 128, F: 256}
  ops:
    - y:bf16[B,F]{U_X} = matmul(x:bf16[B,D_X], w:bf16[D_X,F], chunks=2)
    - z:bf16[B,F] = all_reduce(y, over=X, chunks=2)
    - repeat: 2
      carry: {z: v}
      ops:
        - u:bf16[B,D] = matmul(z, k:bf16[F,D])
        - v:bf16[B,F] = matmul(u, l:bf16[D,F])
run: {overlap: full}
study:
  find: {smallest: workload.dims.B, from: 1, to: 4, where: t_math >= t_network}
expect:
  bound_by: network
"""

LOCATED = re.compile(r"^\S*?:\d+:\d+: .+", re.MULTILINE)

# what stands in GOOD, and what it becomes; each must be refused
EDITS: list[tuple[str, str]] = [
    ("name: good", "name: [1, 2]"),
    ("name: good", "nam: good"),
    ("name: good", "name: good\nname: again"),
    ("name: good", "name: good\nextra: 1"),
    ("about: A small scenario that runs.", "about: {a: 1}"),
    ("chip: tpu_v5e", "chip: tpu_v5"),
    ("chip: tpu_v5e", "chip: 5"),
    ("chip: tpu_v5e", "chip: ./nowhere.yaml"),
    ("chip: tpu_v5e", "chip: {name: mine}"),
    ("chip: tpu_v5e", "chip: [tpu_v5e]"),
    ("chip: tpu_v5e", "chip: null"),
    ("topology: line(2)", "topology: line(-2)"),
    ("topology: line(2)", "topology: lime(2)"),
    ("topology: line(2)", "topology: line(99999999999)"),
    ("topology: line(2)", "topology: line(3)"),
    ("topology: line(2)", "topology: line(2) over wlan"),
    ("topology: line(2)", "topology: [line(2), [line(1)]]"),
    ("mesh: {X: 2}", "mesh: {X: 3}"),
    ("mesh: {X: 2}", "mesh: {x: 2}"),
    ("mesh: {X: 2}", "mesh: {XY: 2}"),
    ("mesh: {X: 2}", "mesh: {X: -2}"),
    ("mesh: {X: 2}", "mesh: {X: 1e400}"),
    ("mesh: {X: 2}", "mesh: 2"),
    ("mesh: {X: 2}", "mesh: {Y: 2}"),
    ("8.1e11 B/s", "8.1e11 B"),
    ("8.1e11 B/s", "-8.1e11 B/s"),
    ("8.1e11 B/s", "0 B/s"),
    ("8.1e11 B/s", "inf"),
    ("8.1e11 B/s", ".nan"),
    ("8.1e11 B/s", "1e999 B/s"),
    ("8.1e11 B/s", "8.1e11 b/s"),
    ("8.1e11 B/s", "9e14 B/s"),
    ("8.1e11 B/s", "fast"),
    ("8.1e11 B/s", "[1, 2]"),
    ("8.1e11 B/s", "true"),
    ("hbm.bandwidth", "hbm.bandwith"),
    ("hbm.bandwidth", "hmb.bandwidth"),
    ("hbm.bandwidth", "hbm.bandwidth.more"),
    ("1 us", "5 m"),
    ("1 us", "-1 us"),
    ("1 us", "1 us us"),
    ("1 us", "1 USD"),
    ("B: 64", "B: -64"),
    ("B: 64", "B: 0"),
    ("B: 64", "B: 6.4"),
    ("B: 64", "B: 64 GB"),
    ("B: 64", "B: true"),
    ("B: 64", "B: inf"),
    ("B: 64", "B: " + "9" * 400),
    ("B: 64", "B: " + "9" * 5000),
    ("B: 64", "B: 1e300"),
    ("B: 64", "B: [64]"),
    ("B: 64", "B_1: 64"),
    ("B: 64", "B: 64, B: 65"),
    ("D: 128", "D: 127"),
    ("D: 128,", ""),
    ("dims: {B: 64, D: 128, F: 256}", "dims: 5"),
    ("dims: {B: 64, D: 128, F: 256}", "dim: {B: 64, D: 128, F: 256}"),
    ("matmul(x", "matmull(x"),
    ("matmul(x", "matmul((x"),
    ("matmul(x", "matmul x"),
    ("bf16[B,D_X]", "bf17[B,D_X]"),
    ("bf16[B,D_X]", "bf16[B,D_Z]"),
    ("matmul(x:bf16[B,D_X], w:bf16[D_X,F]", "relu(x:bf16[B,F]"),  # nothing makes its partial sums
    ("bf16[B,D_X]", "bf16[B_X,D_X]"),
    ("bf16[B,D_X]", "bf16[B,Q_X]"),
    ("bf16[B,D_X]", "bf16[B,,D_X]"),
    ("bf16[B,D_X]", "bf16[B,D_X"),
    ("bf16[B,D_X]", "bf16"),
    ("bf16[B,F]{U_X} =", "bf16[B,F] ="),
    ("bf16[B,F]{U_X} =", "bf16[B,F]{X} ="),
    ("bf16[B,F]{U_X} =", "bf16[F]{U_X} ="),
    ("chunks=2)\n    - z", "chunks=0)\n    - z"),
    ("chunks=2)\n    - z", "chunks=two)\n    - z"),
    ("chunks=2)\n    - z", "chunks=2, chunks=3)\n    - z"),
    ("chunks=2)\n    - z", "chunk=2)\n    - z"),
    ("chunks=2)\n    - z", "tiles=-1)\n    - z"),
    ("chunks=2)\n    - z", "after=nobody)\n    - z"),
    ("all_reduce(y, over=X", "all_reduce(y, over=Y"),
    ("all_reduce(y, over=X", "all_reduce(y"),
    ("all_reduce(y, over=X", "all_reduce(q, over=X"),
    ("all_reduce(y, over=X", "all_gather(y, over=X"),
    ("all_reduce(y, over=X", "reduce_scatter(y, over=X"),
    ("all_reduce(y, over=X", "softmax(y, over=X"),
    ("all_reduce(y, over=X", "add(y, over=X"),
    ("repeat: 2", "repeat: 0"),
    ("repeat: 2", "repeat: many"),
    ("repeat: 2", "repeat: 10000000"),
    ("repeat: 2", "reepeat: 2"),
    ("carry: {z: v}", "carry: {v: z}"),
    ("carry: {z: v}", "carry: {z: u}"),
    ("carry: {z: v}", "carry: [z, v]"),
    ("run: {overlap: full}", "run: {overlap: most}"),
    ("run: {overlap: full}", "run: {overlap: 1}"),
    ("run: {overlap: full}", "run: full"),
    ("run: {overlap: full}", "run: {overlap: full, launch: 5 m}"),
    ("run: {overlap: full}", "run: {overlap: full, padding: perhaps}"),
    ("run: {overlap: full}", "run: {overlap: full, calibration: [measured]}"),
    ("run: {overlap: full}", "run: {overlap: full, efficiency: {hbm: 1.5}}"),
    ("run: {overlap: full}", "run: {overlap: full, efficiency: {hbn: 0.5}}"),
    ("from: 1, to: 4", "from: 4, to: 1"),
    ("from: 1, to: 4", "from: 1, to: 4, step: 0"),
    ("from: 1, to: 4", "from: one, to: 4"),
    ("from: 1, to: 4", "to: 4"),
    ("where: t_math >= t_network", "where: t_math"),
    ("where: t_math >= t_network", "where: t_meth >= t_network"),
    ("where: t_math >= t_network", "where: bound_by >= t_network"),
    ("where: t_math >= t_network", "where: bound_by == nobody"),
    ("where: t_math >= t_network", "where: t_math >= 5 GB"),
    ("where: t_math >= t_network", "where: __import__('os').system('true') == 1"),
    ("bound_by: network", "bound: network"),
    ("bound_by: network", "time: 5 GB"),
    ("bound_by: network", "time: [1]"),
    ("bound_by: network", "time: {value: 5 us, tolerance: -1}"),
    ("bound_by: network", "time: {tolerance: 1%}"),
    ("bound_by: network", "time: {value: 5 us, slack: 1%}"),
    ("bound_by: network", "ops.y.tim: 5 us"),
    ("bound_by: network", "ops.nobody.time: 5 us"),
    ("bound_by: network", "find: soon"),
    ("expect:\n  bound_by: network", "expect: network"),
    ("name: good", "extends: nowhere.yaml\nname: good"),
    ("name: good", "extends: [a]\nname: good"),
    ("name: good", "extends: library:nothing_like_it\nname: good"),
    ("name: good", "name: good\n--- \nname: two"),
    ("name: good", "name: &a good\nabout2: *a"),
    ("name: good", "name: !!python/object/apply:os.system ['true']"),
    ("name: good", "\tname: good"),
    ("name: good", "name: 'good"),
]  # fmt: skip


def bombs() -> dict[str, bytes]:
    """Files that are wrong as a whole."""
    anchors = "a: &a [x,x,x,x,x,x,x,x,x]\n" + "".join(
        f"{chr(98 + at)}: &{chr(98 + at)} [{','.join([f'*{chr(97 + at)}'] * 9)}]\n" for at in range(9)
    )
    deep = "".join(f"{'  ' * level}a:\n" for level in range(1000))
    return {
        "empty": b"",
        "only a comment": b"# nothing\n",
        "a list": b"- 1\n- 2\n",
        "a word": b"hello\n",
        "null bytes": b"name: \x00\x01\x02",
        "binary": bytes(range(256)) * 8,
        "random": random.Random(1).randbytes(5000),
        "utf-16": GOOD.encode("utf-16"),
        "latin-1": "name: caf\xe9".encode("latin-1"),
        "anchor bomb": anchors.encode(),
        "brackets": b"a: " + b"[" * 1000,
        "closed brackets": b"a: " + b"[" * 1000 + b"]" * 1000,
        "braces": b"{a: " * 1000,
        "dashes": b"- " * 1000 + b"a",
        "indented": deep.encode(),
        "over long": b"a: " + b"x" * (3 * 2**20),
        "directive": b"%YAML 9.9.9\n---\na: 1\n",
        "escape": b'name: "\\q"\n',
        "complex key": b"? [a, b]\n: c\n",
        "carriage": b"name: good\r\rsystem\r",
    }


def truncated() -> dict[str, bytes]:
    """The good file cut off at every few characters, up to where its first op is whole."""
    ends = range(4, GOOD.index(", chunks=2)"), 5)
    return {f"cut at {end}": GOOD[:end].encode() for end in ends}


def all_files() -> dict[str, bytes]:
    files: dict[str, bytes] = {}
    for number, (old, new) in enumerate(EDITS):
        assert old in GOOD, old
        files[f"{number}: {old[:20]!r} -> {new[:20]!r}"] = GOOD.replace(old, new, 1).encode()
    return files | bombs() | truncated()


FILES = all_files()


def invoke(path: Path) -> tuple[int, str]:
    result = overlapse("run", path)
    return result.exit_code, result.stderr


@pytest.mark.parametrize("name", list(FILES))
def test_a_wrong_file_is_answered_not_crashed(name: str, tmp_path: Path) -> None:
    path = tmp_path / "wrong.yaml"
    path.write_bytes(FILES[name])
    start = time.process_time()  # of this process: the machine may be busy with others
    code, said = invoke(path)
    assert time.process_time() - start < 2.0
    assert code == 2, said
    assert LOCATED.search(said), said
    assert "Traceback" not in said


def test_there_are_two_hundred_of_them() -> None:
    assert len(FILES) >= 200


def test_the_good_file_is_good(tmp_path: Path) -> None:
    path = tmp_path / "good.yaml"
    path.write_text(GOOD)
    assert invoke(path) == (0, "")


@pytest.mark.parametrize("seed", range(60))
def test_a_garbled_file_never_crashes(seed: int, tmp_path: Path) -> None:
    """Random deletions, copies and swaps: whatever it means, it is answered with 0, 1, 2 or 3."""
    rng = random.Random(seed)
    text = GOOD
    for _ in range(rng.randint(1, 6)):
        at, size = rng.randrange(len(text)), rng.randint(1, 12)
        piece = "".join(rng.choice("{}[]:,&*!|>'\"%@`#-=()_0123456789abXYZ\n ") for _ in range(rng.randint(0, 6)))
        text = text[:at] + piece + text[at + size :]
    path = tmp_path / "garbled.yaml"
    path.write_text(text, encoding="utf-8")
    code, said = invoke(path)
    assert code in (0, 1, 2, 3)
    assert code != 2 or LOCATED.search(said), said


ODD: list[object] = [
    [], {}, [1], ["network"], {"a": 1}, {"value": [1]}, {"value": {}}, {"tolerance": 3}, [[[]]], [None], [{"x": None}],
    None, True, 10**400, -1, 0, 1.5, 1e300, "xxxxx", "", "\0", "1 us", "é", "[", "a.b=c", "\u202e",
]  # fmt: skip


def places(data: object, key: Key = ()) -> Iterator[Key]:
    """Every place in plain data, also those of whole sections."""
    if key:
        yield key
    parts = data.items() if isinstance(data, dict) else enumerate(data) if isinstance(data, list) else ()
    for name, part in parts:
        yield from places(part, (*key, name))


PLACES = list(places(parse_document(GOOD, "good.yaml").data))


@pytest.mark.parametrize("key", PLACES, ids=[".".join(map(str, key)) for key in PLACES])
def test_a_value_of_any_kind_at_any_place_is_read_or_refused(key: Key) -> None:
    for odd in ODD:
        document = parse_document(GOOD, "good.yaml")
        inside = document.data
        for part in key[:-1]:
            inside = inside[part]
        inside[key[-1]] = copy.deepcopy(odd)
        with suppress(SpecError, RunError):
            outcome = Outcome(build_scenario(document, Path("good.yaml")))
            assert outcome.summary["time"] is not None
            assert all(str(verdict) for verdict in outcome.verdicts)
