"""The bundled scenarios as a shelf: what stands on it, found by words, and a file of one's own to start from."""

from scenarios.shelf.listing import Shelved, found_in_library, library_file
from scenarios.shelf.starting import new_scenario

__all__ = ["Shelved", "found_in_library", "library_file", "new_scenario"]
