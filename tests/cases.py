"""What tests of scenario files share: files written into a folder."""

from __future__ import annotations

from pathlib import Path


def written(folder: Path, text: str, name: str = "scenario.yaml") -> str:
    """A file with a text; its path."""
    path = folder / name
    path.write_text(text)
    return str(path)
