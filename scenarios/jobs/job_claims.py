"""Claims about words of a job, in scenarios that have none."""

from __future__ import annotations

from collections.abc import Iterable

from analysis import JOB_WORDS
from hw import Problems
from hw.input import Document
from scenarios.claims.claims import Claim
from scenarios.claims.scope import own_words


def check_job_claims(claims: Iterable[Claim], document: Document, problems: Problems) -> None:
    """Refuse claims about words of a job that there is not."""
    if "job" in document.data:
        return
    for claim in claims:
        for word in own_words(*claim.expressions):
            if word in JOB_WORDS:
                problems.add(document.key_mark(("expect", claim.word)), f"{word} wants a job section")
