"""The command `overlapse`: `main` is its entry point, `app` the commands as Typer has them."""

from scenarios.cli.app import app, main

__all__ = ["app", "main"]
