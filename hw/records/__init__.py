"""Data classes that take little time to define: `dataclass`, from here in place of the standard library."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from dataclasses import dataclass
else:
    from hw.records.definition import dataclass

__all__ = ["dataclass"]
