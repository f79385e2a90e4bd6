"""Answers that are kept are those to the same question, and only to it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
import pytest

from crowd3d.ground.kept import kept


@dataclass(frozen=True)
class Inner:
    values: np.ndarray


@dataclass(frozen=True)
class Question:
    inner: Inner
    factor: float


ASKED = Question(Inner(np.arange(4.0)), 2.0)
ELSE = {
    "a value": replace(ASKED, inner=Inner(np.array([0.0, 1.0, 2.0, np.nextafter(3.0, 4.0)]))),
    "a shape": replace(ASKED, inner=Inner(np.arange(4.0).reshape(2, 2))),
    "a type": replace(ASKED, inner=Inner(np.arange(4.0).view(np.int64))),
    "a number": replace(ASKED, factor=3.0),
}


def counted() -> tuple[list[Question], Callable[..., float]]:
    asked: list[Question] = []

    @kept(2)
    def answer(question: Question, plus: float = 0.0) -> float:
        asked.append(question)
        return float(question.inner.values.sum()) * question.factor + plus

    return asked, answer


def test_the_same_question_is_computed_once_though_its_arrays_are_others() -> None:
    asked, answer = counted()
    again = Question(Inner(np.arange(4.0)), 2.0)
    assert [answer(ASKED), answer(again)] == [12.0, 12.0]
    assert len(asked) == 1


@pytest.mark.parametrize("what", ELSE)
def test_another_question_is_computed(what: str) -> None:
    asked, answer = counted()
    answer(ASKED)
    assert answer(ELSE[what]) == float(ELSE[what].inner.values.sum()) * ELSE[what].factor
    assert len(asked) == 2


def test_named_arguments_belong_to_the_question() -> None:
    asked, answer = counted()
    assert [answer(ASKED), answer(ASKED, plus=1.0), answer(ASKED, plus=1.0)] == [12.0, 13.0, 13.0]
    assert len(asked) == 2


def test_an_array_that_was_changed_is_another_question() -> None:
    answer = counted()[1]
    mine = Question(Inner(np.arange(4.0)), 2.0)
    answer(mine)
    mine.inner.values[0] = 5.0
    assert answer(mine) == 22.0
