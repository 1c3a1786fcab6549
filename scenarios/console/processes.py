"""Worker processes that go without a word when they are stopped.

Model: they are spawned, not forked (no threads or locks are copied), begin with Ctrl-C held back until they know what to do,
and go when the process that started them goes.
"""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from contextlib import contextmanager
from multiprocessing import get_context, parent_process
from typing import Any


class Processes(ProcessPoolExecutor):
    """So many processes. Any submission may start one: the pool grows as work comes."""

    def __init__(self, jobs: int) -> None:
        super().__init__(jobs, mp_context=get_context("spawn"), initializer=_prepare)

    def stop(self) -> None:
        """End them now: nobody waits for what is still running."""
        for process in list((getattr(self, "_processes", None) or {}).values()):
            process.terminate()

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        """As any executor does."""
        with _undisturbed():
            return super().submit(fn, *args, **kwargs)


@contextmanager
def _undisturbed() -> Iterator[None]:
    """Hold Ctrl-C back while processes are made: they begin with it held back, too, until they know what to do."""
    mask = getattr(signal, "pthread_sigmask", None)  # not on every system
    before = mask(signal.SIG_BLOCK, {signal.SIGINT}) if mask else ()
    try:
        yield
    finally:
        if mask:
            mask(signal.SIG_SETMASK, before)


def _prepare() -> None:
    """In a worker: go without a word at Ctrl-C, and go when the parent goes, however it goes."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    if hasattr(signal, "pthread_sigmask"):
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})
    parent = parent_process()
    if parent is not None:
        threading.Thread(target=_go_with, args=(parent,), daemon=True).start()


def _go_with(parent: Any) -> None:
    parent.join()
    os._exit(1)
