"""What densities mean: Fruin's levels of service and the thresholds of the literature."""

from __future__ import annotations

import itertools
from typing import Literal, NamedTuple

import numpy as np

Activity = Literal["walking", "queueing"]
LETTERS = "ABCDEF"
FT2_M2 = 0.3048**2
_MODULES_FT2: dict[Activity, tuple[float, ...]] = {"walking": (35, 25, 15, 10, 5), "queueing": (13, 10, 7, 3, 2)}
"""Least square feet per person of the levels A to E; F is below."""
FRUIN = "J. J. Fruin, Pedestrian Planning and Design, 1971: area per person on walkways and in queues"


class Threshold(NamedTuple):
    """A density above which something changes: people per m², what, and who says so."""

    per_m2: float
    meaning: str
    source: str


THRESHOLDS = (
    Threshold(0.43, "free walking ends", "Fruin 1971"),
    Threshold(2.0, "walking slows down; planning limit for moving crowds", "Fruin 1971; G. K. Still, Introduction to Crowd Science, 2014"),
    Threshold(3.6, "involuntary contact", "Fruin 1971"),
    Threshold(4.7, "planning limit for standing crowds", "Guide to Safety at Sports Grounds, 6th ed. 2018: 47 per 10 m²"),
    Threshold(5.5, "forces that may become dangerous", "Fruin, The causes and prevention of crowd disasters, 1993"),
    Threshold(7.1, "crowd moves as a mass, people may be lifted or crushed", "Fruin 1993; Helbing, Johansson and Al-Abideen 2007"),
)


def limits_per_m2(activity: Activity) -> np.ndarray:
    """(5,) densities at which A becomes B, … E becomes F, people per m²."""
    return 1.0 / (np.array(_MODULES_FT2[activity]) * FT2_M2)


def level_names(activity: Activity) -> list[str]:
    """A to F with their densities, ``B 0.31 - 0.43``; without dashes, which the font of the pictures lacks."""
    limits = limits_per_m2(activity)
    between = [f"{low:.2f} - {high:.2f}" for low, high in itertools.pairwise(limits)]
    texts = [f"under {limits[0]:.2f}", *between, f"over {limits[-1]:.2f}"]
    return [f"{letter} {text}" for letter, text in zip(LETTERS, texts, strict=True)]


def level(density_per_m2: np.ndarray, activity: Activity) -> np.ndarray:
    """(...) densities → (...) int 0 (A) to 5 (F)."""
    return np.searchsorted(limits_per_m2(activity), density_per_m2, side="left")


def level_probabilities(draws_per_m2: np.ndarray, activity: Activity) -> np.ndarray:
    """(S, ...) draws of a density → (..., 6) probabilities of A to F; NaN where the density is unknown in most draws."""
    known = np.isfinite(draws_per_m2)
    of = np.where(known, level(np.nan_to_num(draws_per_m2), activity), -1)
    counts = np.stack([(of == row).sum(0) for row in range(len(LETTERS))], -1)
    total = known.sum(0)[..., None]
    return np.where(total >= 0.8 * len(draws_per_m2), counts / np.maximum(total, 1), np.nan)


def exceedance(draws_per_m2: np.ndarray) -> dict[float, float]:
    """(S,) draws of one density → probability of being above each of `THRESHOLDS`."""
    known = draws_per_m2[np.isfinite(draws_per_m2)]
    return {one.per_m2: float((known > one.per_m2).mean()) for one in THRESHOLDS} if len(known) else {}
