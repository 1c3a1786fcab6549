"""How far off predictions are, on a screen and as JSON: operators and steps on one chip, training steps on many."""

from scenarios.cli.show.errors.operators import as_json, show, show_stages
from scenarios.cli.show.errors.training import fitted_as_json, show_fitted, show_sources, sources_as_json

__all__ = [
    "as_json",
    "fitted_as_json",
    "show",
    "show_fitted",
    "show_sources",
    "show_stages",
    "sources_as_json",
]
