"""Runs a page of docs/: its code, its commands, its scenario files, in order, in one folder and one namespace.

A page is Markdown; its fenced blocks say what they are:
- python: run; a `text` block right after it is what it prints. One that begins with `# needs: NAME` runs where that
  package is installed; elsewhere it is left out, with the `text` and `console` blocks that follow it.
- yaml (or anything else) that begins with `# file: NAME`: written to that file.
- console: a line `$ overlapse ...` is run through the command's main, and the lines under it stand in what it prints (on
  either stream). With `; echo $?` behind it the last line is the exit code; without, the code must be 0.
Where lines are compared, `...` alone stands for any lines, and within a line for any text.
"""

from __future__ import annotations

import contextlib
import importlib
import importlib.util
import io
import os
import re
import shlex
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from unittest import mock

from scenarios.cli import main

_FENCE = re.compile(r"^```([a-z]*)\n(.*?)^```$", re.DOTALL | re.MULTILINE)
_NEEDS = re.compile(r"# needs: (\w+)\n")
_FILE = re.compile(r"# file: (\S+)\n")
_EXIT_CODE = "; echo $?"


@dataclass(frozen=True)
class Block:
    """A fenced block: its language, its text, and the line of the page on which the text begins."""

    language: str
    text: str
    line: int

    @property
    def file(self) -> str | None:
        """The file that it is written to, if it names one."""
        named = _FILE.match(self.text)
        return named[1] if named and self.language != "python" else None


def blocks(page: str) -> Iterator[Block]:
    """The fenced blocks of a page, in order."""
    for found in _FENCE.finditer(page):
        yield Block(found[1], found[2], page[: found.start()].count("\n") + 2)


def prose(page: str) -> str:
    """The page without its fenced blocks."""
    return _FENCE.sub("", page)


@dataclass
class Page:
    """A page while it runs in the current folder. `where`: what its errors call it."""

    where: str
    names: dict[str, Any] = field(default_factory=lambda: {"__name__": "docs"})
    printed: str | None = None
    lacking: bool = False

    def run(self, text: str) -> None:
        """Run all blocks. Raises AssertionError where something printed is not what the page says.

        Modules that the page writes are found, as beside a script, and forgotten when it ends.
        """
        with _own_modules():
            for block in blocks(text):
                if self.is_left_out(block):
                    continue
                _RULES.get(block.language, Page.other)(self, block)
                if block.language != "python":
                    self.printed = None

    def is_left_out(self, block: Block) -> bool:
        """Whether a block needs a package that is not here, or what such a block would have made."""
        if block.language not in ("text", "console"):
            needed = _NEEDS.match(block.text)
            self.lacking = needed is not None and importlib.util.find_spec(needed[1]) is None
        return self.lacking

    def python(self, block: Block) -> None:
        """Run code in the page's namespace; errors name the page's own line."""
        out = io.StringIO()
        with contextlib.redirect_stdout(out):
            exec(compile("\n" * (block.line - 1) + block.text, self.where, "exec"), self.names)
        self.printed = out.getvalue()

    def text(self, block: Block) -> None:
        """Compare with what the code before it has printed."""
        assert self.printed is not None, f"{self.where}:{block.line}: a text block without code before it"
        wrong = missing(block.text.splitlines(), self.printed.splitlines(), whole=True)
        assert wrong is None, f"{self.where}:{block.line}: not printed: {wrong!r}\n{self.printed}"

    def console(self, block: Block) -> None:
        """Run each command and look for the lines under it."""
        for line, command, expected in commands(block):
            words, asks_code = command.removesuffix(_EXIT_CODE), command.endswith(_EXIT_CODE)
            code, said = call(shlex.split(words)[1:])
            printed = said.splitlines() + ([str(code)] if asks_code else [])
            assert asks_code or code == 0, f"{self.where}:{line}: exit code {code}\n{said}"
            wrong = missing(expected, printed)
            assert wrong is None, f"{self.where}:{line}: not printed: {wrong!r}\n" + "\n".join(printed)

    def other(self, block: Block) -> None:
        """Write a file."""
        assert block.file is not None, f"{self.where}:{block.line}: a {block.language or 'nameless'} block is no test"
        path = Path(block.file)
        assert not path.is_absolute()
        assert ".." not in path.parts
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(block.text, encoding="utf-8")
        importlib.invalidate_caches()  # it may be a module that is imported next


@contextlib.contextmanager
def _own_modules() -> Iterator[None]:
    """While it lasts, modules of the current folder are found; then those that were imported are forgotten."""
    here = os.getcwd()
    with mock.patch.object(sys, "path", [here, *sys.path]):
        yield
    for name, module in list(sys.modules.items()):
        if os.path.dirname(getattr(module, "__file__", None) or "") == here:
            del sys.modules[name]


_RULES = {"python": Page.python, "text": Page.text, "console": Page.console}


def commands(block: Block) -> Iterator[tuple[int, str, list[str]]]:
    """The commands of a console block: line of the page, command, the lines under it."""
    command, at, under = "", 0, list[str]()
    for number, line in enumerate(block.text.splitlines(), block.line):
        if line.startswith("$ "):
            if command:
                yield at, command, under
            command, at, under = line[2:], number, []
            assert command.startswith("overlapse "), f"line {number}: '{command}' is not our command"
        else:
            under.append(line)
    yield at, command, under


def call(arguments: list[str], environment: Mapping[str, str] | None = None) -> tuple[int, str]:
    """Exit code and output (both streams) of `overlapse ARGUMENTS`, run in this process on a page 100 wide."""
    out = io.StringIO()
    code = 0
    with (
        mock.patch.object(sys, "argv", ["overlapse", *arguments]),
        mock.patch.dict(os.environ, {"COLUMNS": "100", "NO_COLOR": "1", **(environment or {})}),
        contextlib.redirect_stdout(out),
        contextlib.redirect_stderr(out),
    ):
        try:
            main()
        except SystemExit as end:
            code = int(end.code or 0)
    return code, out.getvalue()


def missing(expected: list[str], printed: list[str], whole: bool = False) -> str | None:
    """The first expected line that does not stand in what was printed, or None.

    Lines follow each other as expected ones do; `...` alone skips any. Without `whole` the first may stand anywhere and
    what comes after the last does not matter.
    """
    at, loose = 0, not whole
    for line in expected:
        if line.strip() == "...":
            loose = True
            continue
        places = range(at, len(printed)) if loose else range(at, min(at + 1, len(printed)))
        found = next((place for place in places if _alike(line, printed[place])), None)
        if found is None:
            return line
        at, loose = found + 1, False
    rest = printed[at:] if whole and not loose else []
    return rest[0] if any(line.strip() for line in rest) else None


def _alike(expected: str, printed: str) -> bool:
    pattern = ".*".join(re.escape(part) for part in expected.rstrip().split("..."))
    return re.fullmatch(pattern, printed.rstrip()) is not None
