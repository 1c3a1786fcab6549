"""What is nearly a trace is read, with a word; what is none is refused with what can be read; nothing is read for ever."""

from __future__ import annotations

import gzip
import json
import os
import resource
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from analysis import read_timeline, read_trace
from hw import SpecError
from scenarios.cli import app
from tests.support.traces import kernel, parts_us, slice_, written

READS = "`import` reads Chrome traces in JSON, packed with gzip or not"


def notes(path: Path) -> list[str]:
    return [note.removeprefix(f"{path}: ") for note in read_trace(path).attrs["notes"]]


A, B = json.dumps(kernel("a", 0, 2)), json.dumps(kernel("b", 2, 2))
CUT = "the file is cut off: what came before is read"


@pytest.mark.parametrize(
    ("text", "note", "ops"),
    [
        (f"[\n{A},\n{B},\n", CUT, "ab"),
        (f"[{A},{B}", CUT, "ab"),
        (f"[{A},{B[:-7]}", CUT, "a"),
        (f'{{"traceEvents": [{A},{B}', CUT, "ab"),
        (f'{{"traceEvents": [{A},{B}], "deviceProperties": [{{"id": 0, "na', CUT, "ab"),
        (f'{{"traceEvents": [{A},{B}}}', "the list of events is not closed", "ab"),
        (f"[{A},{B},]", "a comma too many", "ab"),
        (f'{{"traceEvents": [{A},{B},],}}', "a comma too many (2 times)", "ab"),
        (f"[{A},,{B}]", "a comma too many", "ab"),
        (f"[{A}\n{B}]", "a comma is missing", "ab"),
        (f'[{A},{B[:-1]}, "x": {{"y": [1, 2, ], }}, }}]', "a comma too many (3 times)", "ab"),
        (f'[{A},{B[:-1]}, "occupancy": NaN}}]', "nan or inf, which is no JSON", "ab"),
        (f'[{A},{B[:-1]}, "GB/s": inf, "of": -nan(ind), "to": -Infinity}}]', "nan or inf, which is no JSON (3 times)", "ab"),
        (f"[{A},{B}]".replace('"b"', '"b\x03"'), "control characters inside names", "ab\x03"),
        (f"[{A},{B}]".replace('"b"', '"b\n\tc"'), "control characters inside names", "ab\n\tc"),
        (f"[{A},{B}]".replace('"b"', r'"C:\py\u"'), "a backslash that escapes nothing (2 times)", "aC:\\py\\u"),
        (f"[{A},{B}]\0\0\0\n", None, "ab"),
        (f"\ufeff[{A},{B}]", None, "ab"),
    ],
)  # fmt: skip
def test_what_is_nearly_json_is_read_with_a_word_of_warning(
    text: str, note: str | None, ops: str, tmp_path: Path
) -> None:
    path = tmp_path / "trace.json"
    path.write_text(text, encoding="utf-8")
    timeline = read_trace(path)
    assert "".join(timeline["op"].astype(str)) == ops
    assert parts_us(timeline)[0]["arithmetic"] == (2 if ops == "a" else 4)
    assert notes(path) == ([note] if note else [])
    shown = CliRunner().invoke(app, ["import", str(path)])
    assert shown.exit_code == 0
    assert [line for line in shown.stderr.splitlines() if note and note in line] == (
        [f"{path}: {note}"] if note else []
    )
    assert json.loads(CliRunner().invoke(app, ["import", str(path), "--json"]).stdout)["notes"] == (
        [f"{path}: {note}"] if note else []
    )


@pytest.mark.long
def test_a_file_cut_off_anywhere_gives_the_slices_before_or_says_why_not(tmp_path: Path) -> None:
    whole = json.dumps(
        {"displayTimeUnit": "ns", "traceEvents": [kernel(f"k{at}", at, 1) for at in range(4)], "x": [1.5]}
    )
    path = tmp_path / "trace.json"
    for at in range(len(whole)):
        path.write_text(whole[:at])
        complete = sum(
            whole.find(json.dumps(kernel(f"k{k}", k, 1))) + len(json.dumps(kernel(f"k{k}", k, 1))) <= at
            for k in range(4)
        )
        if complete:
            assert read_trace(path)["op"].tolist() == [f"k{k}" for k in range(complete)]
            assert notes(path) == [CUT]
        else:
            with pytest.raises(SpecError, match=r"this is no trace|this is not JSON|has no slices"):
                read_trace(path)


@pytest.mark.parametrize(
    ("text", "where"),
    [
        ('[{"name": "a" "ph": "X"},\n{"ph": "X"}]', ":1:15: this is not JSON: Expecting ',' delimiter"),
        ('[{"ph": "X", "ts": 1,\n "dur": 1.},\n{"ph": "X"}]', ":2:10: this is not JSON"),
        ('{"traceEvents": []}\n{"traceEvents": []}', ":2:1: this is not JSON: more follows after its end"),
        ('[{"ph": "X", "ts": 1, "dur": 1, {"ph": "X", "ts": 2, "dur": 1}]', ":1:33: this is not JSON"),
        ("{traceEvents: []}", ":1:2: this is not JSON: a key in double quotes is expected"),
    ],
)
def test_what_is_broken_in_the_middle_is_told_with_its_place(text: str, where: str, tmp_path: Path) -> None:
    path = tmp_path / "trace.json"
    path.write_text(text)
    with pytest.raises(SpecError) as caught:
        read_trace(path)
    assert str(caught.value).startswith(f"{path}{where}")


@pytest.mark.long
def test_bytes_that_are_no_text_and_packed_files_that_end_early_are_read_as_far_as_they_go(tmp_path: Path) -> None:
    whole = json.dumps([kernel(f"k{at}", at, 1) for at in range(5000)]).encode()
    odd = tmp_path / "odd.json"
    odd.write_bytes(whole.replace(b'"k3"', b'"k\xff3"'))
    assert read_trace(odd)["op"].tolist()[3] == "k\ufffd3"
    assert "are no utf-8 text" in notes(odd)[0]
    cut = tmp_path / "cut.json.gz"
    cut.write_bytes(gzip.compress(whole, mtime=0)[:-2000])
    read = read_trace(cut)
    assert 100 < len(read) < 5000
    assert read["op"].tolist() == [f"k{at}" for at in range(len(read))]
    assert notes(cut) == ["the packed file is cut off: read as far as it goes", CUT]
    spoiled = bytearray(gzip.compress(whole, mtime=0))
    spoiled[-8] ^= 1  # the checksum
    (tmp_path / "spoiled.json.gz").write_bytes(spoiled)
    with pytest.raises(SpecError, match="cannot unpack the file: CRC"):
        read_trace(tmp_path / "spoiled.json.gz")


CHAKRA = json.dumps({"schema": "1.1.1-chakra.0.0.4", "pid": 1, "nodes": [{"id": 1, "name": "aten::mm"}]})


@pytest.mark.parametrize(
    ("name", "content", "what"),
    [
        ("pytorch_et.json", CHAKRA.encode(), "a Chakra or PyTorch execution trace"),
        ("chakra.0.et", b"\x0a\x05\x0a\x030.4\x12\x34\x08\x01", "a Chakra execution trace"),
        ("host.xplane.pb", b"\x0a\x97\x01\x08\x02\x12\x09/host:CPU", "xplane.pb: take the trace.json.gz"),
        ("host.xplane.pb.gz", gzip.compress(b"\x0a\x97\x01\x08\x02\x12\x09/host:CPU", mtime=0), "xplane.pb"),
        ("run.pftrace", b"\x0a\x1b\x0a\x19\x80\x01", "a Perfetto protobuf: convert it with `traceconv json`"),
        ("results.json", b'{"rocprofiler-sdk-tool": [{"metadata": {}}]}', "rocprofv3's own JSON"),
        ("results.csv", b'"Kernel_Name","Start_Timestamp"\n"gemm",1\n', "a table, as rocprof"),
        ("report.sqlite", b"SQLite format 3\x00\x10\x00", "an SQLite database, as Nsight Systems, rocprof and msprof"),
        ("report.json", b"SQLite format 3\x00\x10\x00", "an SQLite database"),
        ("report.nsys-rep", b"NVTX\x00\x01", "a report of Nsight Systems"),
        ("trace.zip", b"PK\x03\x04\x14\x00", "a ZIP archive: unpack it first"),
        ("trace.json.zst", b"\x28\xb5\x2f\xfd\x24\x00", "packed with zstd: unpack it first"),
        ("page.json", b"<!doctype html><html></html>", "a page"),
        ("profile.json", b'{"$schema": "https://www.speedscope.app/file-format-schema.json"}', "of another schema"),
        ("notes.txt", b"kernel a 1 us\n", "this is not JSON"),
        ("unknown.bin", b"\x01\x02\x00\x03", "this is no text"),
        ("list.json", b'["a", "b"]', "the trace has no slices"),
    ],
)
def test_other_formats_are_refused_with_what_can_be_read(name: str, content: bytes, what: str, tmp_path: Path) -> None:
    path = tmp_path / name
    path.write_bytes(content)
    refused = CliRunner().invoke(app, ["import", str(path)])
    assert refused.exit_code == 2
    assert what in refused.stderr
    assert READS in refused.stderr
    assert len(refused.stderr.splitlines()) == 1


def test_a_file_beyond_the_limit_is_refused_before_it_is_read(tmp_path: Path) -> None:
    huge = tmp_path / "huge.json"
    with huge.open("wb") as file:
        file.write(b"[")
        file.truncate(10 * 2**30)  # takes no room on the disk
    with pytest.raises(SpecError, match=r"the file has 10\.0 GiB of text; a trace may have 2 GiB unpacked"):
        read_trace(huge)


@pytest.mark.parametrize("filling", [b" ", b"\0", b'{"ph":"M"},'], ids=["blanks", "zeros", "events"])
def test_what_unpacks_beyond_the_limit_is_refused_on_the_way(filling: bytes, tmp_path: Path) -> None:
    limit = 1 << 20
    bomb = tmp_path / "bomb.json.gz"
    bomb.write_bytes(gzip.compress(b"[" + filling * (64 * limit // len(filling))))
    assert bomb.stat().st_size < limit / 2
    with pytest.raises(SpecError, match=r"the file has more of text; a trace may have 0\.000976562 GiB unpacked"):
        read_trace(bomb, limit_bytes=limit)


def test_what_packs_better_than_any_trace_is_refused_early(tmp_path: Path) -> None:
    bomb = tmp_path / "bomb.json.gz"
    with gzip.open(bomb, "wb", compresslevel=9) as out:
        out.write(b"[")
        for _ in range(80):
            out.write(b'{"ph":"M"}, ' * (2**20 // 12))
    with pytest.raises(SpecError, match="the file unpacks to more than 200 times its size"):
        read_trace(bomb)


@pytest.mark.parametrize("device", ["/dev/zero", "/dev/urandom"])
def test_a_device_that_never_ends_is_refused(device: str) -> None:
    with pytest.raises(SpecError, match="this is a device, not a file"):
        read_trace(device)


def test_too_little_memory_is_told(tmp_path: Path) -> None:
    path = tmp_path / "large.json"
    with path.open("wb") as file:
        file.write(b"[")
        file.truncate(1200 * 2**20)  # takes no room on the disk
    script = "from scenarios.cli import main; main()"

    def little() -> None:
        resource.setrlimit(resource.RLIMIT_AS, (2**30, 2**30))

    found = subprocess.run(
        [sys.executable, "-c", script, "import", str(path)],
        capture_output=True,
        text=True,
        preexec_fn=little,
        cwd=Path(__file__).parents[3],
        env={**os.environ, "OPENBLAS_NUM_THREADS": "1"},
        check=False,
    )
    assert found.returncode == 2
    assert (
        found.stderr
        == f"{path}:1:1: there is not memory enough to read it: record fewer steps, or without stacks and shapes\n"
    )


def test_half_a_surrogate_pair_in_a_name_can_be_printed_and_written(tmp_path: Path) -> None:
    path = tmp_path / "trace.json"
    path.write_text(
        r'[{"ph": "X", "name": "a\ud83d", "cat": "\ud83d", "pid": "\ud83d", "tid": "\ud83d", "ts": 0, "dur": 1}]'
    )
    written_ = CliRunner().invoke(app, ["import", str(path), "--out", str(tmp_path / "timeline.csv")])
    assert written_.exit_code == 0
    assert "a?" in written_.stdout
    assert read_timeline(tmp_path / "timeline.csv")["op"].tolist() == ["a?"]


ESCAPES = "\x1b]0;owned\x07\x1b[31mred\x9b2J\u202e"


def test_control_characters_of_a_trace_reach_no_terminal(tmp_path: Path) -> None:
    path = written(
        tmp_path,
        [slice_(ESCAPES, 0, 5, f"p{ESCAPES}", f"t{ESCAPES}", cat=ESCAPES), slice_("b", 0, 5, f"q{ESCAPES}")],
        name="trace.json",
    )
    shown = CliRunner().invoke(app, ["import", str(path)])
    assert shown.exit_code == 0
    assert r"\x1b]0;owned\x07\x1b[31mred\x9b2J\u202e" in shown.stdout
    broken = written(tmp_path, [slice_(ESCAPES, None, 5, cat=ESCAPES)], name="broken.json")
    host = written(
        tmp_path, [slice_("a", 0, 5, cat="cpu_op"), slice_(ESCAPES, 0, 5, cat="x_runtime")], name="host.json"
    )
    refused = CliRunner().invoke(app, ["import", str(broken), str(host), "--network", f"({ESCAPES}"])
    assert refused.exit_code == 2
    for text in (shown.stdout, shown.stderr, refused.stderr):
        assert text
        assert not {character for character in text if character < " " and character != "\n"}
        assert not {"\x9b", "\u202e"} & set(text)
