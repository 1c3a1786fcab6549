"""A figure as a file: .html as it is; .svg, .png and .pdf drawn by a Chromium that is already on this machine.

plotly draws only in a browser. Its own exporter downloads one, which not every machine may; Debian's `chromium` (or any
Chrome, Edge or Chromium on PATH) does as well. The browser is started headless on a page of our own with the library
inside, draws the figure, and hands it back in its document; no server, no port, nothing fetched.
"""

from __future__ import annotations

import base64
import binascii
import json
import re
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import unquote_to_bytes

from analysis.plots.page import in_script
from hw import RunError

if TYPE_CHECKING:
    from plotly.graph_objects import Figure

BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome", "microsoft-edge")
"""Commands that are looked for on PATH, in this order."""

FLAGS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--disable-sync",
    "--disable-extensions",
    "--disable-background-networking",
    "--disable-component-update",
    "--no-first-run",
    "--hide-scrollbars",
)
"""A browser that only draws: no window, no network of its own. The page is ours, so it needs no sandbox (which root may
not use)."""

_TIMEOUT_S = 120
_DRAWN = re.compile(r'<pre id="drawn">([^<]*)</pre>')


def browser() -> str | None:
    """The path of a browser that can draw, or None."""
    return next((found for name in BROWSERS if (found := shutil.which(name))), None)


def save(figure: Figure, path: str | Path, width: int = 960, scale: float = 2.0) -> Path:
    """Write a figure to a file; the ending decides how. `width` in pixels; `scale` is how much finer a .png is.

    Raises ValueError for another ending, RunError if no browser is found or it fails, OSError if the file cannot be written.
    """
    where = Path(path)
    writer = _WRITERS.get(where.suffix.lower())
    if writer is None:
        raise ValueError(f"'{where.name}': a figure is saved as {', '.join(_WRITERS)}")
    where.write_bytes(writer(figure, width, scale))
    return where


def _html(figure: Figure, _width: int, _scale: float) -> bytes:
    return str(figure.to_html(include_plotlyjs=True, div_id="figure")).encode("utf-8")


def _png(figure: Figure, width: int, scale: float) -> bytes:
    return _drawn(figure, {"format": "png", "width": width, "height": _height(figure), "scale": scale})


def _svg(figure: Figure, width: int, _scale: float) -> bytes:
    return _drawn(figure, {"format": "svg", "width": width, "height": _height(figure)})


def _pdf(figure: Figure, width: int, scale: float) -> bytes:
    drawing = _svg(figure, width, scale).decode("utf-8")
    page = (
        f"<!DOCTYPE html><meta charset=utf-8><style>@page{{size:{width}px {_height(figure)}px;margin:0}}"
        f"body{{margin:0}}svg{{display:block}}</style>{drawing}"
    )
    with tempfile.TemporaryDirectory() as folder:
        target = Path(folder) / "figure.pdf"
        _run(page, Path(folder), f"--print-to-pdf={target}", "--no-pdf-header-footer")
        if not target.is_file():
            raise RunError("the browser printed nothing")
        return target.read_bytes()


def _height(figure: Figure) -> int:
    return int(figure.layout.height or 420)


_PAGE = """<!DOCTYPE html><meta charset="utf-8"><body><div id="figure"></div><script>{library}</script><script>
const figure = {figure};
Plotly.newPlot("figure", figure.data, {{...figure.layout, paper_bgcolor: "#ffffff"}}, {{staticPlot: true}})
  .then((drawn) => Plotly.toImage(drawn, {options}))
  .then((url) => {{
    const out = document.createElement("pre");
    out.id = "drawn";
    out.textContent = url;
    document.body.replaceChildren(out);
  }});
</script>"""


def _drawn(figure: Figure, options: Mapping[str, object]) -> bytes:
    """The picture that the browser makes of a figure."""
    from plotly.offline import get_plotlyjs

    page = _PAGE.format(
        library=get_plotlyjs().replace("</script", "<\\/script"),
        figure=in_script(str(figure.to_json())),
        options=json.dumps(options),
    )
    with tempfile.TemporaryDirectory() as folder:
        shown = _run(page, Path(folder), "--dump-dom", "--virtual-time-budget=20000")
    found = _DRAWN.search(shown)
    if found is None:
        raise RunError("the browser drew nothing")
    return _of_url(found[1].replace("&amp;", "&"))


def _of_url(url: str) -> bytes:
    """What a data: URL holds."""
    kind, _, data = url.partition(",")
    try:
        return base64.b64decode(data, validate=True) if kind.endswith(";base64") else unquote_to_bytes(data)
    except binascii.Error:
        raise RunError("the browser drew something else than a picture") from None


def _run(page: str, folder: Path, *flags: str) -> str:
    """What the browser prints about a page."""
    command = browser()
    if command is None:
        raise RunError(
            f"no browser to draw with: looked for {', '.join(BROWSERS)} on PATH (Debian: apt-get install chromium); "
            "a figure saved as .html needs none"
        )
    source = folder / "page.html"
    source.write_text(page, encoding="utf-8")
    asked = [command, *FLAGS, f"--user-data-dir={folder / 'profile'}", *flags, source.as_uri()]
    try:
        done = subprocess.run(asked, capture_output=True, timeout=_TIMEOUT_S, check=False)
    except subprocess.TimeoutExpired:
        raise RunError(f"{command} did not answer within {_TIMEOUT_S} s") from None
    if done.returncode:
        raise RunError(f"{command} failed with {done.returncode}: {done.stderr.decode(errors='replace')[-400:]}")
    return done.stdout.decode("utf-8", errors="replace")


_WRITERS: Mapping[str, Callable[[Figure, int, float], bytes]] = {
    ".html": _html,
    ".svg": _svg,
    ".png": _png,
    ".pdf": _pdf,
}
