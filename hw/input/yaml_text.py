"""YAML 1.2 files, read into documents.

Model: ruamel.yaml scans and parses; this module builds the data from its events, without recursion, so that a hostile file
is refused while it is being read and never exhausts anything.
Refused with a located message: duplicate keys, anchors and aliases, tags, several documents, nesting deeper than 64,
files over 16 MiB, words over 100,000 characters, text that is not UTF-8.
Source: YAML 1.2.2, chapter 10.3 (core schema), for what a plain scalar means.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hw.input.document import Document, Key
from hw.input.errors import Mark, Problem, SpecError
from hw.input.files import read_text

if TYPE_CHECKING:
    from ruamel.yaml.error import MarkedYAMLError

_NO_REFERENCES = "anchors and aliases (& and *) are not part of the language; use extends"

MAX_BYTES = 16 * 1024 * 1024
"""The largest file that is read, in bytes."""
MAX_DEPTH = 64
"""How many levels of maps and lists a file may nest."""
_FOLD = "\a"
"""What the parser leaves in a folded text (`>`) where a line was broken."""

MAX_WORD = 100_000
"""How many characters a word may have; the YAML scanner looks at them one by one."""
_TOO_DEEP = f"nested deeper than {MAX_DEPTH} levels"

_BRACKET = re.compile(r"[\[\]{}]")
_LONG_WORD = re.compile(rf"""(?<![^\s,:\[\]{{}}"'])[^\s,:\[\]{{}}"']{{{MAX_WORD + 1}}}""")
_INT = re.compile(r"[-+]?[0-9]+|0o[0-7]+|0x[0-9a-fA-F]+")
_FLOAT = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?")
_WORDS: Mapping[str, object] = {
    "": None, "~": None, "null": None, "Null": None, "NULL": None,
    "true": True, "True": True, "TRUE": True, "false": False, "False": False, "FALSE": False,
}  # fmt: skip


def read_document(path: Path, shown: str | None = None) -> Document:
    """The document in the file `path`; `shown` is the name used in messages. Raises SpecError."""
    name = shown or str(path)
    return parse_document(read_text(path, MAX_BYTES, name), name)


def parse_document(text: str, file: str) -> Document:
    """The document in `text`; `file` is the name used in messages. Raises SpecError with what YAML objects to."""
    _refuse_long_words(text, file)
    _refuse_deep_brackets(text, file)
    try:
        return _parsed(text, file, "safe")
    except SpecError:
        # the scanner that keeps comments takes half as long again, and says better what is wrong
        return _parsed(text, file, "rt")


def _parsed(text: str, file: str, scanner: str) -> Document:
    """The document, by one of ruamel.yaml's scanners."""
    from ruamel.yaml import YAML
    from ruamel.yaml.error import MarkedYAMLError, YAMLError
    from ruamel.yaml.reader import ReaderError

    builder = _Builder(Document(file))
    try:
        events: Any = YAML(typ=scanner, pure=True).parse  # untyped in ruamel.yaml
        for event in events(text):
            builder.take(event)
    except SpecError:
        raise
    except MarkedYAMLError as error:
        scanned = str(error.context).startswith("while scanning")  # what is wrong began there, and was seen later
        at = (error.context_mark if scanned else None) or error.problem_mark or error.context_mark
        mark = Mark(file, at.line + 1, at.column + 1) if at else Mark(file)
        raise SpecError([Problem(mark, f"not YAML: {_reason(error)}")]) from None
    except ReaderError as error:
        line = text.count("\n", 0, error.position) + 1
        message = f"not YAML: the character {error.character!a} is not allowed"
        raise SpecError([Problem(Mark(file, line), message)]) from None
    except (YAMLError, ValueError, OverflowError, AssertionError, IndexError, AttributeError) as error:
        # the scanner of ruamel.yaml trips over some malformed directives and escapes instead of reporting them
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise SpecError([Problem(builder.last, f"not YAML: {reason}")]) from None
    if builder.problems:
        raise SpecError(builder.problems)
    return builder.document


def _reason(error: MarkedYAMLError) -> str:
    """What ruamel.yaml says is wrong; of a tab what to do instead."""
    said = str(error.problem or error.context)
    if "simple key" in str(error.context):
        return "this is no line of a list, which begins with '- ', and has no key with ': ' behind it"
    if "quoted scalar" in str(error.context) and "end of stream" in said:
        return "the quotation that begins here has no end"
    if "flow" in str(error.context) and error.context_mark is not None and error.problem_mark is not None:
        opened = error.context_mark.line
        said += f", in brackets opened in line {opened + 1}" if opened < error.problem_mark.line else ""
    return "a line is indented with spaces, and here is a tab" if "'\\t'" in said else said


def _refuse_long_words(text: str, file: str) -> None:
    """Refuse what no value is, before the YAML scanner sees it."""
    found = _LONG_WORD.search(text)
    if found is not None:
        line, begin = text.count("\n", 0, found.start()) + 1, text.rfind("\n", 0, found.start()) + 1
        message = f"a word of over {MAX_WORD:,} characters, the most that is read"
        raise SpecError([Problem(Mark(file, line, found.start() - begin + 1), message)])


def _suspicious_end(text: str) -> int | None:
    """Where brackets are nested too deep, if every bracket were one of YAML's; those in text and comments are not."""
    depth = 0
    for match in _BRACKET.finditer(text):
        depth = depth + 1 if match[0] in "[{" else max(0, depth - 1)
        if depth > MAX_DEPTH:
            return match.end()
    return None


def _refuse_deep_brackets(text: str, file: str) -> None:
    """Refuse deep nesting before the YAML scanner sees all of it: it takes quadratic time over nested brackets. Up to the
    suspicious place there is little to scan, and the events say whether the brackets are YAML's."""
    from ruamel.yaml import YAML
    from ruamel.yaml.error import YAMLError

    end = _suspicious_end(text)
    if end is None:
        return
    builder = _Builder(Document(file))
    try:
        events: Any = YAML(typ="rt", pure=True).parse
        for event in events(text[:end]):
            builder.take(event)
    except SpecError as error:
        if _TOO_DEEP in str(error):
            raise
    except (YAMLError, ValueError, OverflowError, AssertionError, IndexError, AttributeError):
        return  # the text was cut off: what is wrong with it is found when all of it is read


class _Builder:
    """Turns a stream of YAML events into a Document; an explicit stack instead of recursion."""

    def __init__(self, document: Document) -> None:
        self.document = document
        self.problems: list[Problem] = []
        self.last = self._content = Mark(document.file)
        self._open: list[_Container] = []
        self._documents = 0

    def take(self, event: Any) -> None:
        """Handle one event; raises SpecError at once where going on would be harmful."""
        at = event.start_mark
        self.last = Mark(self.document.file, at.line + 1, at.column + 1)
        # text in quotes starts one column further right: columns inside an op line count from there
        self._content = self.last.moved(1) if getattr(event, "style", None) in ("'", '"') else self.last
        handler = _HANDLERS.get(type(event).__name__)
        if handler is not None:
            self._refuse_reference(event)
            handler(self, event)

    def _refuse_reference(self, event: Any) -> None:
        if getattr(event, "anchor", None) is not None:
            self._stop(_NO_REFERENCES)
        if getattr(event, "tag", None) is not None:
            self._stop(f"YAML tags ({event.tag}) are not part of the language")

    def _stop(self, message: str) -> None:
        raise SpecError([*self.problems, Problem(self.last, message)])

    def _document(self, _event: Any) -> None:
        self._documents += 1
        if self._documents > 1:
            self._stop("a file holds one YAML document")

    def _start(self, event: Any) -> None:
        mapping = type(event).__name__ == "MappingStartEvent"
        data: Any = {} if mapping else []
        key = self._place(data)
        self._open.append(_Container(data, key, bool(event.flow_style)))
        if len(self._open) > MAX_DEPTH:
            self._stop(_TOO_DEEP)

    def _end(self, _event: Any) -> None:
        self._open.pop()

    def _scalar(self, event: Any) -> None:
        plain = event.implicit[0] if isinstance(event.implicit, tuple) else event.style is None
        # the parser marks where a folded text breaks, so that it could be written back: no part of the text
        text = event.value.replace(_FOLD, "") if event.style == ">" else event.value
        value = _resolve(text) if plain and event.style in (None, "") else text
        top = self._open[-1] if self._open else None
        if top is not None and isinstance(top.data, dict) and top.pending is None:
            self._key(top, str(event.value))
        else:
            if top is not None and top.pending is not None and not event.value and plain:
                # the parser has nothing where nothing is written, and tells of what comes next
                self._content = self.document.keys[(*top.key, top.pending)]
            self._place(value)
            if top is not None and top.flow and plain and str(value).count("(") > str(value).count(")"):
                self._note_comma(str(value))

    def _note_comma(self, value: str) -> None:
        self.problems.append(
            Problem(self.last, f"'{value}' has an unclosed bracket; quote what holds a comma: {{key: \"f(a,b)\"}}")
        )

    def _key(self, top: _Container, name: str) -> None:
        key = (*top.key, name)
        if name in top.data:
            first = self.document.keys[key]
            message = f"duplicate key '{name}', first given in line {first.line}"
            self.problems.append(Problem(self.last, message))
        top.pending = name
        self.document.keys.setdefault(key, self.last)

    def _place(self, value: Any) -> Key:
        """Put a value where it belongs; returns its key."""
        if not self._open:
            self.document.data = value
            self.document.values[()] = self._content
            return ()
        top = self._open[-1]
        if isinstance(top.data, list):
            key: Key = (*top.key, len(top.data))
            top.data.append(value)
        elif top.pending is None:
            self._stop("a key is a plain word, not a list or a mapping")
            key = top.key
        else:
            key = (*top.key, top.pending)
            top.data[top.pending] = value
            top.pending = None
        self.document.values[key] = self._content
        return key

    def _alias(self, _event: Any) -> None:
        self._stop(_NO_REFERENCES)


@dataclass(slots=True)
class _Container:
    """A mapping or list under construction, its key, and the mapping key that waits for its value."""

    data: Any
    key: Key
    flow: bool = False
    pending: str | None = None


_HANDLERS: Mapping[str, Callable[[_Builder, Any], None]] = {
    "DocumentStartEvent": _Builder._document,
    "MappingStartEvent": _Builder._start,
    "SequenceStartEvent": _Builder._start,
    "MappingEndEvent": _Builder._end,
    "SequenceEndEvent": _Builder._end,
    "ScalarEvent": _Builder._scalar,
    "AliasEvent": _Builder._alias,
}


def _resolve(text: str) -> object:
    """What a plain scalar means in YAML 1.2; a number too long for Python stays text and is refused as such."""
    if text in _WORDS:
        return _WORDS[text]
    try:
        if _INT.fullmatch(text):
            return int(text, 0) if text[:2] in ("0o", "0x") else int(text)
        if _FLOAT.fullmatch(text):
            return float(text)
    except ValueError:
        return text
    return text
