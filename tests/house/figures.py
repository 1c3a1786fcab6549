"""A thermometer for the code: `python -m tests.house.figures [FOLDER]...` prints its figures, of this tree or of others.

Model: imports are read from the syntax, those for type checkers and inside functions too. A circle is a set of files, or of
sibling folders, that import each other in a loop. A deep import is one from another room that is not of a name at a door.
Code lines are those with code on them: no blank lines, comments or docstrings. Complexity is McCabe's: branches plus one.
No figure but the first three is a target: no line is rewritten to please one.
"""

from __future__ import annotations

import ast
import io
import sys
import tokenize
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from statistics import median

import networkx as nx

ROOT = Path(__file__).parents[2]
PACKAGES = ("hw", "simulator", "analysis", "scenarios", "overlapse")
WIRINGS = frozenset({"ring", "torus", "fat_tree", "dragonfly"})
_BRANCHES = (ast.If, ast.For, ast.While, ast.ExceptHandler, ast.match_case)
_COMPREHENSIONS = (ast.ListComp, ast.SetComp, ast.DictComp, ast.GeneratorExp)
_FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef)
_BLOCKS = ("body", "orelse", "finalbody", "handlers", "cases")
"""Where statements have others in them."""
_DOCUMENTED = (ast.Module, ast.ClassDef, *_FUNCTIONS)


@dataclass(frozen=True)
class Source:
    """One file."""

    path: Path
    module: str

    @property
    def is_door(self) -> bool:
        """Whether it is the `__init__` of a package."""
        return self.path.name == "__init__.py"

    @cached_property
    def text(self) -> str:
        """What stands in it."""
        return self.path.read_text("utf-8")

    @cached_property
    def tree(self) -> ast.Module:
        """Its syntax."""
        return ast.parse(self.text)

    @cached_property
    def nodes(self) -> list[ast.AST]:
        """Every node of its syntax."""
        return list(ast.walk(self.tree))

    @cached_property
    def imports(self) -> list[Import]:
        """Its imports, at the top and anywhere inside."""
        return list(imports_in(self.tree))

    @cached_property
    def functions(self) -> list[ast.AST]:
        """Its functions and methods."""
        return [node for node in self.nodes if isinstance(node, _FUNCTIONS)]

    @cached_property
    def comments(self) -> int:
        """Comments, those for tools left out."""
        tokens = tokenize.generate_tokens(io.StringIO(self.text).readline)
        told = [each.string for each in tokens if each.type == tokenize.COMMENT]
        return sum(not each.startswith(("# noqa", "# type:", "#!")) for each in told)

    @cached_property
    def code_lines(self) -> int:
        """Lines with code on them."""
        docstrings: set[int] = set()
        for node in self.nodes:
            if isinstance(node, _DOCUMENTED) and ast.get_docstring(node, clean=False) is not None:
                said = node.body[0]
                docstrings.update(range(said.lineno, (said.end_lineno or said.lineno) + 1))
        skipped = {
            tokenize.COMMENT,
            tokenize.NL,
            tokenize.NEWLINE,
            tokenize.INDENT,
            tokenize.DEDENT,
            tokenize.ENDMARKER,
        }
        lines: set[int] = set()
        for token in tokenize.generate_tokens(io.StringIO(self.text).readline):
            if token.type not in skipped:
                lines.update(range(token.start[0], token.end[0] + 1))
        return len(lines - docstrings)


def sources(root: Path = ROOT, packages: Iterable[str] = PACKAGES) -> dict[str, Source]:
    """The files of some packages, by module; examples are a user's and none of ours."""
    found = {}
    for package in packages:
        for path in sorted((root / package).rglob("*.py")):
            parts = path.relative_to(root).with_suffix("").parts
            if "examples" not in parts:
                module = ".".join(parts[:-1] if parts[-1] == "__init__" else parts)
                found[module] = Source(path, module)
    return found


# Imports

Import = ast.Import | ast.ImportFrom


def imports_in(tree: ast.Module) -> Iterator[Import]:
    """The imports of some syntax, wherever a statement can stand: one node in ten."""
    todo: list[ast.AST] = [tree]
    while todo:
        node = todo.pop()
        if isinstance(node, Import):
            yield node
        todo += [each for block in _BLOCKS for each in getattr(node, block, ())]


def imported(files: Mapping[str, Source], source: Source) -> Iterator[str]:
    """The modules of the same tree that a file imports: the file behind a name where there is one, else the package."""
    for node in source.imports:
        if isinstance(node, ast.Import):
            named = [alias.name for alias in node.names]
        else:
            home = whence(source, node)
            named = [f"{home}.{alias.name}" if f"{home}.{alias.name}" in files else home for alias in node.names]
        yield from (name for name in named if name in files and name != source.module)


def whence(source: Source, node: ast.ImportFrom) -> str:
    """The module that an import names, relative ones too."""
    if not node.level:
        return node.module or ""
    package = source.module.split(".") if source.is_door else source.module.split(".")[:-1]
    base = package[: len(package) - node.level + 1]
    return ".".join([*base, *([node.module] if node.module else [])])


def file_graph(files: Mapping[str, Source]) -> nx.DiGraph[str]:
    """Which file imports which."""
    graph: nx.DiGraph[str] = nx.DiGraph()
    graph.add_nodes_from(files)
    graph.add_edges_from((name, other) for name, source in files.items() for other in imported(files, source))
    return graph


def circles(graph: nx.DiGraph[str]) -> list[list[str]]:
    """Sets of nodes that reach each other."""
    return sorted(sorted(each) for each in nx.strongly_connected_components(graph) if len(each) > 1)


def file_circles(files: Mapping[str, Source]) -> list[list[str]]:
    """Files that import each other in a loop."""
    return circles(file_graph(files))


def folder_circles(files: Mapping[str, Source]) -> list[list[str]]:
    """Siblings (folders, or a folder and the files beside it) that import each other in a loop, at any depth."""
    siblings: defaultdict[str, nx.DiGraph[str]] = defaultdict(nx.DiGraph)
    for here, there in file_graph(files).edges:
        one, other = here.split("."), there.split(".")
        shared = next((at for at, (a, b) in enumerate(zip(one, other, strict=False)) if a != b), None)
        if shared is not None:
            siblings[".".join(one[:shared])].add_edge(".".join(one[: shared + 1]), ".".join(other[: shared + 1]))
    return sorted(circle for graph in siblings.values() for circle in circles(graph))


def doors(files: Mapping[str, Source]) -> dict[str, frozenset[str]]:
    """The names at each package that lists some."""
    found = {}
    for name, source in files.items():
        for node in source.tree.body:
            if source.is_door and isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "__all__":
                found[name] = frozenset(ast.literal_eval(node.value))
    return found


def deep_imports(files: Mapping[str, Source]) -> list[str]:
    """Imports from another room that are not of a name at a door, each with its place."""
    known, found = doors(files), []
    rooms = {each.split(".")[0] for each in files}
    for name, source in files.items():
        for node in source.imports:
            if not isinstance(node, ast.ImportFrom) or node.level or not node.module:
                continue
            room = node.module.split(".")[0]
            if room not in rooms or room == name.split(".")[0]:
                continue
            hidden = [alias.name for alias in node.names if alias.name not in known.get(node.module, ())]
            found += [f"{name}:{node.lineno}: {each} from {node.module}" for each in hidden]
    return found


# Names, tables, lines


def used_twice(names: Iterable[str]) -> list[str]:
    """Names that stand for more than one thing."""
    return sorted(name for name, times in Counter(names).items() if times > 1)


def classes_twice(files: Mapping[str, Source]) -> list[str]:
    """Public classes of one name in several files."""
    nodes = [node for source in files.values() for node in source.tree.body if isinstance(node, ast.ClassDef)]
    return used_twice(node.name for node in nodes if not node.name.startswith("_"))


def modules_twice(files: Mapping[str, Source]) -> list[str]:
    """File names that occur more than once in one room."""
    return used_twice(
        f"{name.split('.')[0]}: {name.split('.')[-1]}" for name, each in files.items() if not each.is_door
    )


def wiring_tables(files: Mapping[str, Source]) -> list[str]:
    """Files with a table of wirings: a literal that names at least two of them."""
    return [name for name, source in files.items() if any(len(WIRINGS & words_of(node)) >= 2 for node in source.nodes)]


def words_of(node: ast.AST) -> set[str]:
    """The words in a literal: keys of a dict, members of a set, list or tuple."""
    if isinstance(node, ast.Dict):
        members = [key for key in node.keys if key is not None]
    elif isinstance(node, ast.Set | ast.List | ast.Tuple):
        members = node.elts
    else:
        return set()
    return {each.value for each in members if isinstance(each, ast.Constant) and isinstance(each.value, str)}


def complexity(function: ast.AST) -> int:
    """McCabe's, as linters count it: one, and one for each branch."""
    return 1 + sum(isinstance(node, _BRANCHES) for node in ast.walk(function))


def length(function: ast.AST) -> int:
    """Lines of a function."""
    return int(getattr(function, "end_lineno", 0)) - int(getattr(function, "lineno", 0)) + 1


def figures(files: Mapping[str, Source]) -> dict[str, str]:
    """What is printed, by name."""
    code = sum(source.code_lines for source in files.values())
    nodes = [node for source in files.values() for node in source.nodes]
    functions = [function for source in files.values() for function in source.functions]
    folders = Counter(source.path.parent for source in files.values())
    lengths = [length(each) for each in functions] or [0]
    complexities = [complexity(each) for each in functions] or [0]

    def per(kind: type | tuple[type, ...], lines: int) -> str:
        return f"{lines * sum(isinstance(node, kind) for node in nodes) / code:.1f}"

    return {
        "files, code lines": f"{len(files)}, {code:,}",
        "folders, most files in one, median": f"{len(folders)}, {max(folders.values())}, {median(folders.values()):g}",
        "circles of files, of folders": f"{len(file_circles(files))}, {len(folder_circles(files))}",
        "deep imports": str(len(deep_imports(files))),
        "syntax nodes a code line": f"{len(nodes) / code:.1f}",
        "comprehensions per 1000 lines": per(_COMPREHENSIONS, 1000),
        "conditional expressions per 1000 lines": per(ast.IfExp, 1000),
        "comments per 100 lines": f"{100 * sum(source.comments for source in files.values()) / code:.1f}",
        "function length, median and most": f"{median(lengths):g}, {max(lengths)}",
        "complexity, most and how many over 10": f"{max(complexities)}, {sum(each > 10 for each in complexities)}",
        "classes that share a name": str(len(classes_twice(files))),
        "modules that share a name in their room": str(len(modules_twice(files))),
        "files with a table of wirings": str(len(wiring_tables(files))),
    }


def trees(folders: list[str]) -> dict[str, dict[str, Source]]:
    """What to measure: this repository and each of its rooms, or the packages in other folders."""
    if not folders:
        whole = sources()
        rooms = {room: {name: each for name, each in whole.items() if name.split(".")[0] == room} for room in PACKAGES}
        return {"all": whole, **rooms}
    found = {}
    for folder in folders:
        path = Path(folder).resolve()
        package = (path / "__init__.py").is_file()
        root, names = (
            (path.parent, [path.name]) if package else (path, [name for name in PACKAGES if (path / name).is_dir()])
        )
        found[path.name] = sources(root, names)
    return found


def main(folders: list[str]) -> None:
    """Print the table, and what is not 0 though it must be."""
    measured = {name: figures(files) for name, files in trees(folders).items()}
    print(f"{'':42}" + "".join(f"{name:>14}" for name in measured))
    for row in next(iter(measured.values())):
        print(f"{row:42}" + "".join(f"{column[row]:>14}" for column in measured.values()))
    files = next(iter(trees(folders).values()))
    for what, found in {
        "circle": [" <-> ".join(each) for each in [*file_circles(files), *folder_circles(files)]],
        "deep": deep_imports(files),
        "class twice": classes_twice(files),
        "module twice": modules_twice(files),
        "table": wiring_tables(files),
    }.items():
        for each in found:
            print(f"{what}: {each}")


if __name__ == "__main__":
    main(sys.argv[1:])
