"""The words that a study's rows have, `study.words`: any about the whole run, or about an op."""

from __future__ import annotations

from analysis import word_named
from hw import Problems
from hw.input import Document
from scenarios.language.study_spec import StudySpec


def check_words(study: StudySpec | None, document: Document, problems: Problems) -> None:
    """Refuse names that are no words, each at its place."""
    for at, word in enumerate(study.words or () if study is not None else ()):
        try:
            word_named(word)
        except KeyError as error:
            problems.add(document.value_mark(("study", "words", at)), f"words: {error.args[0]}")
