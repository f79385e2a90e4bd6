"""What a program's own function is told, against what was done."""

from __future__ import annotations

import pytest

from crowd3d.progress import part, progress_bar, telling


def test_bars_share_what_is_left_of_their_part(capsys: pytest.CaptureFixture[str]) -> None:
    told: list[tuple[float, str]] = []
    with telling(lambda done, text: told.append((done, text))):
        with part(0.4, "first"):
            for _ in progress_bar([1, 2], desc="looking"):
                pass
            with progress_bar(total=4, desc="writing") as bar:
                bar.update(4)
        with part(1.0, "second"):
            pass
    assert told == [
        (0.0, "first"),
        (0.0, "looking"),
        (pytest.approx(0.1), "looking"),
        (pytest.approx(0.2), "looking"),
        (pytest.approx(0.2), "writing"),
        (pytest.approx(0.3), "writing"),
        (0.4, "first"),
        (0.4, "second"),
        (1.0, "second"),
    ]
    assert capsys.readouterr().err == ""


def test_without_a_function_bars_are_drawn(capsys: pytest.CaptureFixture[str]) -> None:
    with telling(None), part(1.0, "all"):
        assert list(progress_bar([1, 2], desc="looking")) == [1, 2]
    assert "looking: 100%" in capsys.readouterr().err
