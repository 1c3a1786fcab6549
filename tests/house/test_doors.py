"""Doors: what is documented stands in the `__all__` of a package, and everyone else imports it from there.

A door is a package of the four rooms (or of the product) that has an `__all__`. Files behind it may change and move;
rooms import each other, and pages and examples import everything, through doors only. Tests of behaviour do so wherever
a door has the name; a test of something inside may import its file.
"""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from functools import cache
from importlib import import_module
from pathlib import Path

import pytest

from hw import VERSION
from tests.house.figures import imports_in
from tests.support.docs_runner import blocks

ROOT = Path(__file__).parents[2]
ROOMS = ("hw", "simulator", "analysis", "scenarios")
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
HEAVY = ("pandas", "plotly", "networkx")
"""What takes long to import, and what a plain run does without."""


def doors() -> list[str]:
    """Every door, by its dotted name."""
    files = [path for room in (*ROOMS, "overlapse") for path in sorted((ROOT / room).rglob("__init__.py"))]
    return [
        ".".join(path.parent.relative_to(ROOT).parts) for path in files if "\n__all__ = [" in path.read_text("utf-8")
    ]


DOORS = doors()


@cache
def names_at(door: str) -> frozenset[str]:
    return frozenset(import_module(door).__all__)


def imports(text: str) -> Iterator[tuple[int, str, str]]:
    """Line, module and name of every import from a room; a module imported whole has the name `*`."""
    for node in imports_in(ast.parse(text)):
        if isinstance(node, ast.Import):
            found = [(alias.name, "*") for alias in node.names]
        elif node.module and node.level == 0:
            found = [(node.module, alias.name) for alias in node.names]
        else:
            continue
        for module, name in found:
            if module.split(".")[0] in (*ROOMS, "overlapse"):
                yield node.lineno, module, name


def past_the_doors(text: str, room: str = "") -> list[str]:
    """The imports from (other) rooms that are not of a name at a door."""
    return [
        f"{line}: {name} from {module}"
        for line, module, name in imports(text)
        if module.split(".")[0] != room and not (module in DOORS and (name == "*" or name in names_at(module)))
    ]


def python_files() -> list[Path]:
    return [path for room in (*ROOMS, "overlapse") for path in sorted((ROOT / room).rglob("*.py"))]


def room_of(path: Path) -> str:
    """The room that a file belongs to; an example belongs to none, it shows what a user would write."""
    parts = path.relative_to(ROOT).parts
    return "" if "examples" in parts else parts[0]


def test_every_room_is_a_door_and_has_doors() -> None:
    assert {*ROOMS, "overlapse"} <= set(DOORS)
    assert {"hw.input", "hw.chips", "hw.network", "hw.systems", "analysis.plots"} <= set(DOORS)


@pytest.mark.parametrize("room", [*ROOMS, "overlapse"])
def test_rooms_import_each_other_through_doors(room: str) -> None:
    wrong = [
        f"{path.relative_to(ROOT)}:{place}"
        for path in python_files()
        if path.relative_to(ROOT).parts[0] == room
        for place in past_the_doors(path.read_text("utf-8"), room_of(path))
    ]
    assert wrong == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_pages_import_from_doors(page: Path) -> None:
    code = [block for block in blocks(page.read_text("utf-8")) if block.language in ("python", "py")]
    assert [f"{block.line}, {place}" for block in code for place in past_the_doors(block.text)] == []


def test_examples_and_benchmarks_import_from_doors() -> None:
    files = [path for folder in ("examples", "benchmarks") for path in sorted((ROOT / folder).rglob("*.py"))]
    assert [f"{path.name}:{place}" for path in files for place in past_the_doors(path.read_text("utf-8"))] == []


@pytest.mark.long
def test_tests_import_from_a_door_what_stands_at_one() -> None:
    """By identity: another object of the same name, `analysis.plots.topology.MAX_CHIPS` say, is another thing."""
    standing = {
        (door.split(".")[0], name, id(getattr(import_module(door), name))) for door in DOORS for name in names_at(door)
    }
    wrong = [
        f"{path.name}:{line}: {name} from {module}"
        for path in sorted((ROOT / "tests").rglob("*.py"))
        for line, module, name in imports(path.read_text("utf-8"))
        if module not in DOORS and name != "*"
        if (module.split(".")[0], name, id(getattr(import_module(module), name, None))) in standing
    ]
    assert wrong == []


@pytest.mark.parametrize("text", ["from hw.units import show", "from hw import units", "import hw.units"])
def test_an_import_of_a_file_is_noticed(text: str) -> None:
    assert len(past_the_doors(f"def late():\n    {text}\n", "analysis")) == 1
    assert past_the_doors(text, "hw") == []


@pytest.mark.parametrize("door", DOORS)
def test_names_at_a_door_exist_once(door: str) -> None:
    module = import_module(door)
    assert len(module.__all__) == len(names_at(door))
    assert [name for name in module.__all__ if not hasattr(module, name)] == []
    assert module.__doc__


@pytest.mark.parametrize("door", DOORS)
def test_functions_and_classes_at_a_door_are_documented(door: str) -> None:
    """Each has a docstring in its source; one that a dataclass makes up from its fields does not count."""
    module = import_module(door)
    bare = []
    for name in module.__all__:
        thing = getattr(module, name)
        home = getattr(thing, "__module__", None)
        if not callable(thing) or not isinstance(home, str) or home.split(".")[0] not in ROOMS:
            continue
        bare += [f"{home}.{name}"] if name in undocumented(home) else []
    assert bare == []


@cache
def undocumented(module: str) -> frozenset[str]:
    """The functions and classes of a file that have no docstring."""
    body = ast.parse(Path(str(import_module(module).__file__)).read_text("utf-8")).body
    defined = [node for node in body if isinstance(node, ast.ClassDef | ast.FunctionDef)]
    return frozenset(node.name for node in defined if not ast.get_docstring(node))


def run_python(code: str, folder: Path) -> subprocess.CompletedProcess[str]:
    """Run code in a process of its own that finds the packages behind the folder it is in, as an installed copy is."""
    start = f"import sys; sys.path[:] = [{str(folder)!r}, {str(ROOT)!r}, *sys.path[1:]]\n"
    return subprocess.run([sys.executable, "-c", start + code], cwd=folder, capture_output=True, text=True, check=False)


def loaded_after(code: str, modules: tuple[str, ...], tmp_path: Path) -> list[str]:
    """Which of the modules are loaded after the code has run."""
    done = run_python(f"{code}\nprint(*(name for name in {modules!r} if name in sys.modules))", tmp_path)
    assert done.returncode == 0, done.stderr
    return done.stdout.split()


def test_doors_import_nothing_heavy(tmp_path: Path) -> None:
    code = "\n".join(f"import {door}" for door in DOORS)
    assert loaded_after(code, HEAVY, tmp_path) == []


@pytest.mark.parametrize("module", ["overlapse", "overlapse.__main__", "scenarios.cli"])
def test_the_command_and_the_product_start_with_little(module: str, tmp_path: Path) -> None:
    assert loaded_after(f"import {module}", (*HEAVY, "numpy", "pydantic", "simpy"), tmp_path) == []


def test_the_room_of_the_engine_starts_without_models(tmp_path: Path) -> None:
    assert loaded_after("import simulator, scenarios.building.build", ("simulator.models",), tmp_path) == []
    room = import_module("simulator")
    assert all(hasattr(room, name) for name in room.__all__)
    assert set(room.__all__) <= set(dir(room))
    with pytest.raises(AttributeError, match="module 'simulator' has no attribute 'Hum'"):
        room.Hum  # noqa: B018


def test_the_product_has_the_rooms_own_objects() -> None:
    import overlapse

    homes = {name: [room for room in ROOMS if name in names_at(room)] for name in overlapse.__all__}
    apart = {"study": ("scenarios", "sweep"), "__version__": ("hw", "VERSION")}
    for name, rooms in homes.items():
        room, there = apart[name] if name in apart else (rooms[0], name)
        assert getattr(overlapse, name) is getattr(import_module(room), there)
    assert overlapse.__version__ == VERSION
    assert set(overlapse.__all__) <= set(dir(overlapse))


def test_a_name_that_the_product_does_not_have() -> None:
    import overlapse

    with pytest.raises(AttributeError, match="module 'overlapse' has no attribute 'sing'"):
        overlapse.sing  # noqa: B018


@pytest.mark.parametrize("hidden", ["analysis.py", "hw.py", "simulator/__init__.py", "scenarios.py"])
def test_a_module_of_the_users_that_hides_a_room_is_told(hidden: str, tmp_path: Path) -> None:
    mine = tmp_path / hidden
    mine.parent.mkdir(exist_ok=True)
    mine.write_text("mine = True\n", encoding="utf-8")
    room = hidden.split("/")[0].removesuffix(".py")
    told = f"{mine}: this hides Overlapse's own package '{room}' ({ROOT / room}); rename it, or start in another folder"
    used = run_python("import overlapse as ov\nov.load_chip('h100_sxm')", tmp_path)
    assert used.stderr.splitlines()[-1] == f"ImportError: {told}"
    command = run_python("sys.argv = ['overlapse', 'chips']\nfrom overlapse.__main__ import main\nmain()", tmp_path)
    assert (command.returncode, command.stderr) == (2, f"{told}\n")


def test_every_module_that_hides_a_room_is_told_at_once(tmp_path: Path) -> None:
    for name in ("analysis.py", "hw.py"):
        (tmp_path / name).write_text("", encoding="utf-8")
    used = run_python("from overlapse.__main__ import main\nmain()", tmp_path)
    assert [line.split(":")[0] for line in used.stderr.splitlines()] == [
        str(tmp_path / "hw.py"),
        str(tmp_path / "analysis.py"),
    ]


def test_a_module_of_another_name_hides_nothing(tmp_path: Path) -> None:
    (tmp_path / "analyses.py").write_text("", encoding="utf-8")
    (tmp_path / "hw").mkdir()
    (tmp_path / "hw" / "notes.txt").write_text("", encoding="utf-8")
    used = run_python("import overlapse as ov\nprint(ov.load_chip('h100_sxm').name)", tmp_path)
    assert used.stdout == "h100_sxm\n", used.stderr


def test_python_dash_m_is_the_command() -> None:
    ran = subprocess.run(
        [sys.executable, "-m", "overlapse", "chips"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert ran.returncode == 0, ran.stderr
    assert "h100_sxm" in ran.stdout
