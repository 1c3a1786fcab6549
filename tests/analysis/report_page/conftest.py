"""One browser, and the pages of a small run and of a large one, for all tests of this folder."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from analysis import Summary
from analysis.report import Story, report_html
from hw import System, load_chip
from simulator import GraphBuilder, Result, RunOptions, simulate
from tests.support.browser import Browser
from tests.support.report_page import written
from tests.support.reports import block


def large() -> Result:
    """100,000 slices and more on one chip: layers whose ops go in chunks, beside copies that are busy now and then."""
    build = GraphBuilder(B=4096, D=1024, F=4096)
    with build.repeat(500, x="o"):
        build.matmul("x:bf16[B,D]", "w:bf16[D,F]", out="h:bf16[B,F]", chunks=64)
        build.gelu("h", out="g:bf16[B,F]", chunks=64)
        build.matmul("g", "v:bf16[F,D]", out="o:bf16[B,D]", chunks=64)
        build.copy("n:bf16[D]@host", out="c:bf16[D]", chunks=8, after="o")
    return simulate(build.graph(), System(load_chip("tpu_v5e")), RunOptions())


@pytest.fixture(scope="package")
def big() -> Result:
    return large()


@pytest.fixture(scope="package")
def big_file(big: Result, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return written(tmp_path_factory.mktemp("big") / "report.html", report_html(Summary(big.plan, lambda: big)))


@pytest.fixture(scope="package")
def small_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    result = block(4, fold=False)
    html = report_html(Summary(result.plan, lambda: result), Story(name="small"))
    return written(tmp_path_factory.mktemp("small") / "report.html", html)


@pytest.fixture(scope="package")
def browser() -> Iterator[Browser]:
    with Browser() as found:
        yield found


@pytest.fixture(autouse=True)
def _closed(browser: Browser) -> Iterator[None]:
    """No test is slowed down by the pages of those before."""
    yield
    browser.close_pages()
