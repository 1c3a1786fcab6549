"""What the site has beside the pages of docs/: an API page for each door, the scenario library, and the project's own pages.

A door is a package with an `__all__`, as `tests/house/test_doors.py` has it: a new door is on the site without a word here.
The hooks are called by mkdocs; links from pages of docs/ to files beside docs/ lead to the copies of them on the site.
"""

from __future__ import annotations

import ast
import re
import sys
from pathlib import Path
from typing import Any

from mkdocs.plugins import get_plugin_logger
from mkdocs.structure.files import File

LOG = get_plugin_logger("site_pages")
ROOT = Path(__file__).parent.parent
ROOMS = ("overlapse", "hw", "simulator", "analysis", "scenarios")
BESIDE = {"README": "readme", "CONTRIBUTING": "contributing", "DECISIONS": "decisions", "CHANGELOG": "changelog"}
"""Pages at the root of the repository, by the name of their copy on the site."""


def doors() -> dict[str, list[str]]:
    """The names at every door, by its dotted name."""
    found = {}
    for room in ROOMS:
        for path in sorted((ROOT / room).rglob("__init__.py")):
            for node in ast.parse(path.read_text("utf-8")).body:
                if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "__all__":
                    found[".".join(path.parent.relative_to(ROOT).parts)] = list(ast.literal_eval(node.value))
    return found


def late_names(door: str) -> dict[str, str]:
    """Names that a door hands on only when they are used (it imports them for type checkers alone), and their homes."""
    tree = ast.parse((ROOT / door.replace(".", "/") / "__init__.py").read_text("utf-8"))
    late = [node for node in tree.body if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"]
    imports = [node for block in late for node in block.body if isinstance(node, ast.ImportFrom)]
    return {alias.asname or alias.name: f"{node.module}.{alias.name}" for node in imports for alias in node.names}


def hidden(door: str, names: list[str]) -> dict[str, str]:
    """Names at a door that a file bears, too, and where they are: a reference to the name would tell of the file."""
    body = ast.parse((ROOT / door.replace(".", "/") / "__init__.py").read_text("utf-8")).body
    imports = [node for node in body if isinstance(node, ast.ImportFrom)]
    homes = {alias.asname or alias.name: node.module or "" for node in imports for alias in node.names}
    found = {}
    for name in names:
        files = [f"{package}.{name}" for package in (door, homes.get(name, "")) if is_file(f"{package}.{name}")]
        if files:
            found[name] = f"{files[0]}.{name}"
    return found


def is_file(module: str) -> bool:
    """Whether a module is a file, and no package."""
    return (ROOT / f"{module.replace('.', '/')}.py").is_file()


def api_page(door: str, names: list[str]) -> str:
    """What a door says of itself and has. Of what it hands on late another door's page tells, where that has the name."""
    late = {name: home for name, home in late_names(door).items() if name in names}
    links, own = [], [f"::: {home}" for home in hidden(door, names).values()]
    for name, home in late.items():
        there = home.rpartition(".")[0]
        if there in doors():
            home = late_names(there).get(name, home)
            links.append(f"- [`{name}`][{home}]")
        else:
            own.append(f"::: {home}")
    return "\n\n".join(
        [
            f"# {door}",
            f"::: {door}\n    options: {{show_root_heading: false, show_root_toc_entry: false}}",
            "\n".join(links),
            *own,
            "",
        ]
    )


def library() -> str:
    """The index of the bundled scenarios, whose files are not on the site."""
    return re.sub(r"\[(`[^`]+`)\]\(library/[^)]*\)", r"\1", (ROOT / "scenarios" / "README.md").read_text("utf-8"))


def gallery() -> str:
    """A picture and a number for each technique, from runs of the library."""
    sys.path.insert(0, str(ROOT / "docs"))  # scripts beside this one
    from gallery import gallery as made

    return made()


def on_config(config: Any) -> Any:
    """Lay a page for every door under API, and pages of docs/ that have no place yet among those that tell how to use it."""
    placed = {page for section in config.nav for pages in section.values() if isinstance(pages, list) for page in pages}
    for section in config.nav:
        if "API" in section:
            section["API"] = [{door: f"api/{door}.md"} for door in doors()]
        if "Using it" in section:
            section["Using it"] += sorted({path.name for path in (ROOT / "docs").glob("*.md")} - placed)
    return config


def on_files(files: Any, config: Any) -> Any:
    """Add the pages that are made here."""
    made = {f"api/{door}.md": api_page(door, names) for door, names in doors().items()}
    made |= {f"{name}.md": (ROOT / f"{source}.md").read_text("utf-8") for source, name in BESIDE.items()}
    made["library.md"] = library()
    made["gallery.md"] = gallery()
    for path, content in made.items():
        files.append(File.generated(config, path, content=content))
    return files


def on_page_markdown(markdown: str, page: Any, config: Any, files: Any) -> str:
    """Lead links over the edge of docs/ to the copies on the site; what has none is told by its path alone."""
    for source, name in BESIDE.items():
        markdown = re.sub(rf"\]\((?:\.\./)?{source}\.md(#[^)]*)?\)", rf"]({name}.md\1)", markdown)
    markdown = re.sub(r"\]\((?:\.\./)?scenarios/README\.md\)", "](library.md)", markdown)
    if page.file.src_uri in {f"{name}.md" for name in BESIDE.values()}:
        markdown = re.sub(r"\]\(docs/", "](", markdown)
    return re.sub(
        r"\[([^\]]+)\]\((?:\.\./)*(?:scenarios|hw|simulator|analysis|tests|benchmarks|overlapse|\.ci)[^)]*\)",
        r"`\1`",
        markdown,
    )


def on_post_build(config: Any) -> None:
    """Warn (which fails a strict build) of names at doors that no page tells of."""
    for door, names in doors().items():
        page = (Path(config.site_dir) / "api" / f"{door}.html").read_text("utf-8")
        late, elsewhere = late_names(door), hidden(door, names)
        for name in names:
            home = elsewhere.get(name, f"{door}.{name}")
            if name not in late and not name.startswith("__") and f'id="{home}"' not in page:
                LOG.warning("%s: the API page says nothing of %s", door, name)
