"""Functions of values with arrays in them whose last answers are kept: asked the same, they need not compute it.

A photograph of few people asks three times for its ground, for tiles, for the release's files and for the result, and mostly nothing that
tells the ground has changed meanwhile.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable
from dataclasses import dataclass, field, is_dataclass
from functools import lru_cache, wraps
from typing import Any, ParamSpec, TypeVar

import numpy as np

Given = ParamSpec("Given")
Answer = TypeVar("Answer")


@dataclass(frozen=True)
class _Question:
    """Arguments of a call; equal to others where all that is in them is, to the last bit."""

    content: Hashable
    given: tuple[Any, ...] = field(compare=False)
    named: dict[str, Any] = field(compare=False)


def kept(most: int) -> Callable[[Callable[Given, Answer]], Callable[Given, Answer]]:
    """Keep the last `most` answers of a function, which nobody may change; arguments are dataclasses, tuples, arrays, or hashable."""

    def keeping(function: Callable[Given, Answer]) -> Callable[Given, Answer]:
        @lru_cache(most)
        def answer(question: _Question) -> Answer:
            return function(*question.given, **question.named)

        @wraps(function)
        def ask(*given: Given.args, **named: Given.kwargs) -> Answer:
            return answer(_Question(_content((*given, *named.items())), given, named))

        return ask

    return keeping


def _content(value: Any) -> Hashable:
    if isinstance(value, np.ndarray):
        return value.dtype.str, value.shape, value.tobytes()
    if isinstance(value, tuple):
        return tuple(map(_content, value))
    if is_dataclass(value):
        return type(value), _content(tuple(vars(value).items()))
    hashable: Hashable = value
    return hashable
