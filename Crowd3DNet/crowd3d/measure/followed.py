"""For how much of the time that people are in sight their ways hold them: a line that is crossed in the rest of it is not noticed."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

EDGE_M = 2.0
"""Nearer than this to the edge of the observed ground people come and go, and ways end without having been lost."""
_SAMPLES = 200
_OFF = np.linspace(-8.0, 8.0, 321)
"""How far the logit of recall may stray, in units of its spread."""


class Ways(NamedTuple):
    """The R sightings of a sequence, sorted by person and time.

    Attributes:
        frame: (R,) picture.
        row: (R,) person.
        place: (R, 2) metres.
        chance: (R,) recall.
    """

    frame: np.ndarray
    row: np.ndarray
    place: np.ndarray
    chance: np.ndarray


def followed_shares(ways: Ways, outline: np.ndarray, pictures: int, sigma: float, rng: np.random.Generator) -> np.ndarray:
    """What the share of people's time inside of the observed ground that lies on their ways may be.

    Ways hold the pictures between their first and last sighting. In how many people are there altogether the sightings tell, each of
    which stands for 1/p (Horvitz and Thompson 1952), with the noise of such a sum: it counts who was never found, who is not found yet or
    any more, and who was lost so long that another way began or a way that went over to somebody else.

    Args:
        ways: sightings with their recall.
        outline: (L, 2) convex outline of the observed ground, metres.
        pictures: of the sequence.
        sigma: how far the logit of recall may stray; the pictures between first and last sighting then tell more of it.
        rng: random numbers.

    Returns:
        (S,) shares in 0…1.
    """
    usual = float((1.0 / ways.chance - 1.0).mean())
    steps = np.flatnonzero(ways.row[1:] == ways.row[:-1])
    if usual == 0.0 or len(steps) == 0:
        return np.ones(1)
    gap = ways.frame[steps + 1] - ways.frame[steps]
    at = np.repeat(steps, gap)
    part = (np.arange(len(at)) - np.repeat(np.cumsum(gap) - gap, gap) + 0.5) / np.repeat(gap, gap)
    between = ways.place[at] + part[:, None] * (ways.place[at + 1] - ways.place[at])
    followed, found = (int(_far_inside(outline, places).sum()) for places in (between, ways.place))
    if followed == 0 or found == 0:
        return np.ones(1)
    # A way ends when somebody is seen: that picture tells nothing.
    seen = len(gap) - len(np.unique(ways.row[steps]))
    missed = usual * np.exp(-sigma * _strayed(usual, sigma, int((gap - 1).sum()), seen, rng))
    there = found * (1.0 + missed) + rng.normal(size=_SAMPLES) * np.sqrt(found * missed * (1.0 + missed))
    return np.clip(followed / np.maximum(there * (pictures - 1) / pictures, 1.0), 0.0, 1.0)


def _strayed(usual: float, sigma: float, unseen: int, seen: int, rng: np.random.Generator) -> np.ndarray:
    """(S,) samples of how far the logit of recall strays, given how often people were not seen and seen while they were followed.

    Args:
        usual: people missed per person found, by the recall that does not stray.
    """
    each = usual * np.exp(-sigma * _OFF)
    likely = unseen * np.log(each) - (unseen + seen) * np.log1p(each) - 0.5 * _OFF**2
    weight = np.exp(likely - likely.max())
    return rng.choice(_OFF, _SAMPLES, p=weight / weight.sum())


def _far_inside(outline: np.ndarray, points: np.ndarray) -> np.ndarray:
    """(N,) bool, whether points are inside of a convex outline and `EDGE_M` from its edges."""
    if len(outline) < 3:
        return np.zeros(len(points), bool)
    start, side = outline, np.roll(outline, -1, axis=0) - outline
    off = points[:, None] - start
    across = (side[:, 0] * off[..., 1] - side[:, 1] * off[..., 0]) / np.maximum(np.hypot(*side.T), 1e-9)
    return (across > EDGE_M).all(1) | (across < -EDGE_M).all(1)
