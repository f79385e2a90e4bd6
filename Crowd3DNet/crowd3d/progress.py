"""How far a run is: bars on the terminal or in a notebook, calls of a program's own function, or nothing."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

from tqdm.auto import tqdm

Report = Callable[[float, str], None]
"""(share of the work that is done, 0…1; what is being done)."""
OF_THE_REST = 0.5
"""Nobody knows how many bars will follow: each takes this share of what is left of its part of the work."""


class _Told:
    """What is told a function instead of drawing bars: never less than before."""

    def __init__(self, report: Report) -> None:
        self.report, self.done, self.end = report, 0.0, 1.0


_told: ContextVar[_Told | None] = ContextVar("crowd3d_progress", default=None)


class _Bar(tqdm):
    """A bar that tells a function how far it is and draws nothing."""

    def __init__(self, told: _Told, *args: Any, **options: Any) -> None:
        super().__init__(*args, **{**options, "disable": True})
        self._told, self._first, self._text = told, told.done, str(options.get("desc") or "")
        self._whole = options.get("total") or (len(self.iterable) if hasattr(self.iterable, "__len__") else None)
        told.report(told.done, self._text)

    def __iter__(self) -> Iterator[Any]:
        for item in self.iterable:
            yield item
            self.update()

    def update(self, n: float | None = 1) -> bool | None:
        """As of tqdm."""
        self.n += n or 0
        if self._whole:
            reached = self._first + OF_THE_REST * min(self.n / self._whole, 1.0) * (self._told.end - self._first)
            self._told.done = max(self._told.done, reached)
        self._told.report(self._told.done, self._text)
        return None


def progress_bar(*args: Any, **options: Any) -> tqdm:
    """A bar of tqdm with tqdm's arguments, or what stands for it (`telling`)."""
    told = _told.get()
    return tqdm(*args, **options) if told is None else _Bar(told, *args, **options)


@contextmanager
def telling(report: Report | None) -> Iterator[None]:
    """While this is entered, `report` is told how far the work is, and no bars are drawn; None leaves the bars."""
    if report is None:
        yield
        return
    token = _told.set(_Told(report))
    try:
        yield
    finally:
        _told.reset(token)


@contextmanager
def part(end: float, text: str) -> Iterator[None]:
    """What happens in here brings the work to the share `end`."""
    told = _told.get()
    if told is None:
        yield
        return
    told.end = end
    told.report(told.done, text)
    yield
    told.done = end
    told.report(end, text)
