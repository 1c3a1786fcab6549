"""README and the front doors: what they show runs, and public names are one list."""

from __future__ import annotations

import contextlib
import importlib
import io
import re
import subprocess
import sys
from pathlib import Path

import pytest
from typer.main import get_command

from scenarios import run
from scenarios.cli import app

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", README, flags=re.DOTALL)


def test_there_are_exactly_two_set_up_commands() -> None:
    commands = re.findall(r"^    (python3 -m venv .*)$", README, flags=re.MULTILINE)
    assert len(commands) == 2
    assert "overlapse run" in commands[0]
    assert "pytest" in commands[1]
    assert README.index(commands[1]) < 1500  # near the top


def test_the_scenario_holds(tmp_path: Path) -> None:
    (text,) = blocks("yaml")
    path = tmp_path / "readme.yaml"
    path.write_text(text, encoding="utf-8")
    outcome = run(str(path))
    assert len(outcome.verdicts) == 2
    assert not outcome.failed


def test_the_python_prints_what_it_says() -> None:
    (code,) = blocks("python")
    out = io.StringIO()
    with contextlib.redirect_stdout(out):
        exec(compile(code, "README.md", "exec"), {})
    said = re.findall(r"print\(.*\)  # (.*)", code)
    assert out.getvalue().splitlines() == said


def test_every_command_of_readme_exists() -> None:
    named = set(re.findall(r"`overlapse ([a-z-]+)", README)) | set(
        re.findall(r"`([a-z]+)(?: FILE)?`", "`schema`, `library`")
    )
    known = set(getattr(get_command(app), "commands", {}))
    assert named <= known
    assert {"run", "check", "chips", "schema", "explain", "sources", "roofline"} <= known


@pytest.mark.parametrize("room", ["hw", "simulator", "analysis", "scenarios"])
def test_public_names_are_one_list_and_there(room: str) -> None:
    module = importlib.import_module(room)
    assert module.__doc__
    assert sorted(module.__all__) == sorted(set(module.__all__))
    for name in module.__all__:
        assert getattr(module, name) is not None
    assert callable(importlib.import_module("scenarios").run)


@pytest.mark.parametrize(
    ("arguments", "unwanted"),
    [
        (["--help"], ["pandas", "numpy", "simpy", "networkx", "pydantic"]),
        (["run", "library:llama3_8b_block"], ["pandas", "networkx"]),
    ],
    ids=["help", "run"],
)
def test_the_command_imports_only_what_it_needs(arguments: list[str], unwanted: list[str]) -> None:
    """What keeps the command fast: heavy packages are imported by the code that needs them."""
    code = (
        f"import sys; sys.argv = ['overlapse', *{arguments}]\n"
        "from scenarios.cli import main\n"
        "try: main()\n"
        "except SystemExit: pass\n"
        f"print([name for name in {unwanted} if name in sys.modules])"
    )
    said = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    assert said.splitlines()[-1] == "[]"
