"""What a user writes, with its place in the file: errors, units, documents and the models they are checked against.

`parse_document(text, file)` reads YAML and keeps the mark of every value; `parse("80 GB", Dimension.BYTES)` reads a
quantity and `show` prints one; `validate(Model, document, problems)` checks; what is wrong is collected in `Problems`.
"""

from hw.input.document import Document, Key, walk
from hw.input.errors import Mark, Problem, Problems, RunError, SpecError, UnknownNames, first_problems
from hw.input.files import is_file, is_folder, read_bytes, read_text
from hw.input.mending import Rest, validate_rest
from hw.input.notebook import notebook_html, notebook_table
from hw.input.plain_values import plain
from hw.input.plugs import need_function, need_name
from hw.input.sorts import need_sort, sort_of
from hw.input.unit_words import unit_meant
from hw.input.units import UNITS, Dimension, parse, show, show_change
from hw.input.validation import Efficiency, QuantityOf, Seconds, Sign, Spec, validate
from hw.input.wording import MOST_TOLD, chips_named, cut, did_you_mean, few, nearest, printable, shown, unknown
from hw.input.yaml_text import MAX_BYTES, MAX_DEPTH, MAX_WORD, parse_document, read_document

__all__ = [
    # Errors, and where they are.
    "Mark",
    "Problem",
    "Problems",
    "RunError",
    "SpecError",
    "first_problems",
    # Words of messages.
    "MOST_TOLD",
    "UnknownNames",
    "chips_named",
    "cut",
    "did_you_mean",
    "few",
    "nearest",
    "printable",
    "shown",
    "unknown",
    # Units.
    "UNITS",
    "Dimension",
    "parse",
    "show",
    "show_change",
    "unit_meant",
    # Values of programs.
    "plain",
    # Notebooks.
    "notebook_html",
    "notebook_table",
    # Functions of a user's.
    "need_function",
    "need_name",
    # Documents.
    "MAX_BYTES",
    "MAX_DEPTH",
    "MAX_WORD",
    "Document",
    "Key",
    "is_file",
    "is_folder",
    "need_sort",
    "parse_document",
    "read_bytes",
    "read_document",
    "read_text",
    "sort_of",
    "walk",
    # Models.
    "Efficiency",
    "QuantityOf",
    "Rest",
    "Seconds",
    "Sign",
    "Spec",
    "validate",
    "validate_rest",
]
