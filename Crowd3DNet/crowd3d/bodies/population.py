"""Who the free body's betas describe."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from crowd3d.bodies.body import Body

YOUTH_AXIS = 9
"""The beta that leads from the average adult to the proportions of a child: about 3 at 1.5 m, 8 at 1.2 m, 13 at 0.9 m."""

YOUTH_M = 0.06
"""Metres of stature lost per unit of `YOUTH_AXIS`."""

ADULT_STATURE_M = (1.692, 0.092)
"""Mean and standard deviation of adult stature with betas from N(0, 1): men and women in equal numbers after ANSUR II
(Gordon et al., 2012 Anthropometric Survey of U.S. Army Personnel, NATICK/TR-15/007: men 1.756 ± 0.069 m, women 1.629 ± 0.064 m)."""


def adult_betas(rng: np.random.Generator, count: int) -> np.ndarray:
    """(N, 10) betas of random adults."""
    return rng.normal(size=(count, 10))


def child_betas(body: Body, stature_m: np.ndarray, rng: np.random.Generator, spread: float = 0.6) -> np.ndarray:
    """Betas of children of given stature.

    Args:
        body: a free body.
        stature_m: (N,) metres, sensibly 0.85 to 1.5.
        rng: source of the individual shape.
        spread: standard deviation of the betas beside `YOUTH_AXIS`, against 1 for adults.

    Returns:
        (N, 10) float64.
    """
    stature_m = np.asarray(stature_m, np.float64)
    betas = spread * rng.normal(size=(len(stature_m), 10))
    # the crown and sole vertices hardly change along the axis, so stature is linear in it but for millimetres
    for _ in range(2):
        betas[:, YOUTH_AXIS] += (body.stature_m(betas) - stature_m) / YOUTH_M
    return betas
