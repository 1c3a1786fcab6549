"""The report: one HTML page of a run, of a study, or of what would help; tables for notebooks.

`report_html(result, Story(...))` is the page that `--report` writes; the `*_html` functions are what notebooks show.
"""

from analysis.report.html import compared_html, study_html, summary_html, what_if_html
from analysis.report.report import report_html
from analysis.report.story import Story

__all__ = [
    # The page.
    "Story",
    "report_html",
    # In a notebook.
    "compared_html",
    "study_html",
    "summary_html",
    "what_if_html",
]
