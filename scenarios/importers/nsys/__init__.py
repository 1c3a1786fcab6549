"""Exports of Nsight Systems: SQLite databases, replayed."""
