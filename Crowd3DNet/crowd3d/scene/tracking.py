"""Who is who in the pictures of a static camera: places on the ground → ids that stay, and smooth paths."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
from scipy.optimize import linear_sum_assignment

from crowd3d.scene.motion import Motion, at_rest, correct

PLACE_SIGMA_M = 0.2
"""Spread of a place per axis where nothing else is known."""
_GATE = (18.42, 23.51)
"""99.99 % quantiles of χ² with two and four degrees of freedom: who misses their predicted place, or place and velocity, by more is
somebody else."""
_ANY_SPEED_M_S = 10.0
"""Spread of a velocity per axis of which nothing is to be assumed."""
_ROUNDS = 4
_SMOOTHED_AT_ONCE = 256
_FAR_M = 1e5
"""Spread of the place of somebody who has not been seen yet."""

_States = tuple[np.ndarray, np.ndarray]
"""(N, 4) x, z, vx, vz and their (N, 4, 4) covariances."""


@dataclass(frozen=True)
class TrackingOptions:
    """What is assumed about people.

    Attributes:
        motion: how they move.
        newcomers_per_m2: people per m² and picture who appear from nowhere; the fewer, the rather somebody is taken for one of old.
        patience_s: for so long somebody who is not seen is remembered.
    """

    motion: Motion = field(default_factory=Motion)
    newcomers_per_m2: float = 1e-4
    patience_s: float = 4.0


class Smoothed(NamedTuple):
    """Where people are and how fast they move, by all their sightings, with what is not known of that.

    Attributes:
        state: (..., 4) x, z, vx, vz.
        covariance: (..., 4, 4) of it.
    """

    state: np.ndarray
    covariance: np.ndarray

    @property
    def place_sigma_m(self) -> np.ndarray:
        """(...) standard deviation of the place per axis."""
        return np.sqrt(np.trace(self.covariance[..., :2, :2], axis1=-2, axis2=-1) / 2.0)

    @property
    def speed_sigma_m_s(self) -> np.ndarray:
        """(...) standard deviation of the velocity per axis, which is that of the speed of somebody who walks."""
        return np.sqrt(np.trace(self.covariance[..., 2:, 2:], axis1=-2, axis2=-1) / 2.0)


class _Sightings(NamedTuple):
    """One picture: its time, (N, 2) places and their (N, 2, 2) covariances."""

    time_s: float
    places: np.ndarray
    spread: np.ndarray


@dataclass
class _Tracks:
    """K people who are being followed: states, covariances, time of the last sighting, ids."""

    state: np.ndarray
    covariance: np.ndarray
    seen_s: np.ndarray
    id: np.ndarray

    def take(self, rows: np.ndarray) -> _Tracks:
        return _Tracks(*(values[rows] for values in vars(self).values()))

    def joined(self, others: _Tracks) -> _Tracks:
        return _Tracks(*(np.concatenate(pair) for pair in zip(vars(self).values(), vars(others).values(), strict=True)))


def track(
    places_m: Sequence[np.ndarray],
    times_s: np.ndarray,
    covariances_m2: Sequence[np.ndarray] | None = None,
    options: TrackingOptions | None = None,
) -> list[np.ndarray]:
    """Give everybody in a sequence of pictures an id that stays.

    A Kalman filter predicts where everybody is next. Predictions and sightings are assigned to each other so that their joint likelihood,
    with newcomers and people out of sight as alternatives, is greatest (Hungarian algorithm); a pair must pass the gate of the
    Mahalanobis distance. Then all is done again with what is known by then: a sighting comes with the place and velocity that its
    future, followed backwards, says. Who met whom is decided by where they came from and where they went.

    Args:
        places_m: for each of T pictures (N_t, 2) places on the ground in metres; rows with NaN get an id of their own.
        times_s: (T,) rising times in seconds.
        covariances_m2: (N_t, 2, 2) for each picture; by default 0.2 m per axis.
        options: what is assumed about people.

    Returns:
        For each picture (N_t,) int64 ids; 0, 1, … in the order of first appearance.
    """
    options = options or TrackingOptions()
    covariances_m2 = [default_covariance(len(places)) for places in places_m] if covariances_m2 is None else covariances_m2
    sequence = [_Sightings(*one) for one in zip(times_s, places_m, covariances_m2, strict=True)]
    ids: list[np.ndarray] = []
    futures = [at_rest(one.places, one.spread, _ANY_SPEED_M_S) for one in sequence]
    for _ in range(_ROUNDS):
        before, ids = ids, _follow(sequence, futures, options)
        if before and all(map(np.array_equal, before, ids)):
            break
        futures = _futures(sequence, ids, options.motion)
    return ids


def default_covariance(count: int) -> np.ndarray:
    """(count, 2, 2) of `PLACE_SIGMA_M` per axis."""
    return np.tile(PLACE_SIGMA_M**2 * np.eye(2), (count, 1, 1))


def smooth_paths(
    places_m: np.ndarray, times_s: np.ndarray, covariances_m2: np.ndarray, motion: Motion | None = None
) -> Smoothed:
    """Rauch-Tung-Striebel smoother over the sightings of everybody at once.

    Args:
        places_m: (T, K, 2) places of K people in T pictures, NaN where somebody is not seen.
        times_s: (T,) rising times in seconds.
        covariances_m2: (T, K, 2, 2), anything where somebody is not seen.
        motion: how people move.

    Returns:
        States (T, K, 4) and covariances (T, K, 4, 4); NaN before the first and after the last sighting.
    """
    motion = motion or Motion()
    seen = np.isfinite(places_m).all(-1)
    count = places_m.shape[1]
    state, covariance = motion.start(np.zeros((count, 2)), np.tile(_FAR_M**2 * np.eye(2), (count, 1, 1)))
    forward: list[tuple[np.ndarray, np.ndarray]] = []
    for row, seconds in enumerate(np.diff(times_s, prepend=times_s[:1])):
        # Nobody moves before they are seen: their velocity stays unknown, their place far from known.
        begun = seen[:row].any(0)
        moved = motion.predict(state[begun], covariance[begun], float(seconds))
        state[begun], covariance[begun] = moved
        now = seen[row]
        state[now], covariance[now] = correct(state[now], covariance[now], places_m[row, now], covariances_m2[row, now])
        forward.append((state.copy(), covariance.copy()))
    smooth, unsure = np.empty((len(times_s), count, 4)), np.empty((len(times_s), count, 4, 4))
    for row in reversed(range(len(times_s))):
        at, spread = forward[row]
        if row < len(times_s) - 1:
            ahead, ahead_spread = motion.predict(at, spread, float(times_s[row + 1] - times_s[row]))
            step, _ = motion.transition(float(times_s[row + 1] - times_s[row]))
            gain = np.swapaxes(np.linalg.solve(ahead_spread, step @ spread), -1, -2)
            at = at + (gain @ (state - ahead)[..., None])[..., 0]
            spread = spread + gain @ (covariance - ahead_spread) @ np.swapaxes(gain, -1, -2)
        state, smooth[row] = at, at
        covariance, unsure[row] = spread, spread
    lasting = np.logical_or.accumulate(seen, 0) & np.logical_or.accumulate(seen[::-1], 0)[::-1]
    return Smoothed(np.where(lasting[..., None], smooth, np.nan), np.where(lasting[..., None, None], unsure, np.nan))


def smooth_tracks(
    places_m: Sequence[np.ndarray],
    times_s: np.ndarray,
    covariances_m2: Sequence[np.ndarray],
    ids: Sequence[np.ndarray],
    motion: Motion | None = None,
) -> list[Smoothed]:
    """`smooth_paths` for what `track` takes and gives: for each picture its N_t people."""
    result = [Smoothed(np.full((len(one), 4), np.nan), np.full((len(one), 4, 4), np.nan)) for one in ids]
    count = 1 + max((int(one.max()) for one in ids if len(one)), default=-1)
    for start in range(0, count, _SMOOTHED_AT_ONCE):
        inside = [np.flatnonzero((one >= start) & (one < start + _SMOOTHED_AT_ONCE)) for one in ids]
        # Ids are counted by first appearance: most of a long sequence knows nobody of these.
        used = np.flatnonzero([len(rows) for rows in inside])
        if len(used) == 0:
            continue
        span = range(used[0], used[-1] + 1)
        places = np.full((len(span), _SMOOTHED_AT_ONCE, 2), np.nan)
        spread = np.tile(np.eye(2), (len(span), _SMOOTHED_AT_ONCE, 1, 1))
        for row, picture in enumerate(span):
            rows = inside[picture]
            places[row, ids[picture][rows] - start] = places_m[picture][rows]
            spread[row, ids[picture][rows] - start] = covariances_m2[picture][rows]
        smooth = smooth_paths(places, times_s[span.start : span.stop], spread, motion)
        for row, picture in enumerate(span):
            rows = inside[picture]
            for whole, part in zip(result[picture], smooth, strict=True):
                whole[rows] = part[row, ids[picture][rows] - start]
    return result


def _follow(sequence: Sequence[_Sightings], futures: Sequence[_States], options: TrackingOptions) -> list[np.ndarray]:
    """One pass forward: ids of all sightings, given what their futures say."""
    tracks = _Tracks(np.zeros((0, 4)), np.zeros((0, 4, 4)), np.zeros(0), np.zeros(0, np.int64))
    ids: list[np.ndarray] = []
    known, before = 0, 0.0
    for now, future in zip(sequence, futures, strict=True):
        tracks.state, tracks.covariance = options.motion.predict(tracks.state, tracks.covariance, now.time_s - before)
        tracks = tracks.take(now.time_s - tracks.seen_s <= options.patience_s + 1e-9)
        placed = np.flatnonzero(np.isfinite(now.places).all(1))
        old, sighting = _assign(tracks, (future[0][placed], future[1][placed]), options)
        sighting = placed[sighting]
        tracks.state[old], tracks.covariance[old] = correct(
            tracks.state[old], tracks.covariance[old], now.places[sighting], now.spread[sighting]
        )
        tracks.seen_s[old] = before = now.time_s
        id_ = np.full(len(now.places), -1, np.int64)
        id_[sighting] = tracks.id[old]
        new = np.flatnonzero(id_ < 0)
        id_[new] = known + np.arange(len(new))
        known += len(new)
        new = np.intersect1d(new, placed)
        begun = options.motion.start(now.places[new], now.spread[new])
        tracks = tracks.joined(_Tracks(*begun, np.full(len(new), now.time_s), id_[new]))
        ids.append(id_)
    return ids


def _futures(sequence: Sequence[_Sightings], ids: Sequence[np.ndarray], motion: Motion) -> list[_States]:
    """For every sighting the state that it and all later ones of the same id say, by a Kalman filter that runs backwards."""
    known = np.maximum.accumulate([0, *(int(one.max()) + 1 if len(one) else 0 for one in ids)])
    state, covariance = np.zeros((known[-1], 4)), np.zeros((known[-1], 4, 4))
    met = np.zeros(known[-1], bool)
    futures: list[_States] = []
    after = 0.0
    for now, id_, before in zip(reversed(sequence), reversed(ids), reversed(known[:-1]), strict=True):
        state[met], covariance[met] = motion.predict(state[met], covariance[met], now.time_s - after)
        after = now.time_s
        last = ~met[id_]
        state[id_[last]], covariance[id_[last]] = at_rest(now.places[last], now.spread[last], _ANY_SPEED_M_S)
        again = id_[~last]
        state[again], covariance[again] = correct(state[again], covariance[again], now.places[~last], now.spread[~last])
        met[id_] = True
        futures.append((state[id_], covariance[id_]))
        # Ids are counted by first appearance: who is first seen here has no past.
        met[before:] = False
    return futures[::-1]


def _assign(tracks: _Tracks, future: _States, options: TrackingOptions) -> tuple[np.ndarray, np.ndarray]:
    """Rows of tracks and rows of sightings that belong together."""
    state, covariance = future
    cost = np.zeros((len(tracks.id), len(state)))
    rows, columns = np.nonzero(_place_distance(tracks, state, covariance) < _GATE[0])
    together, size = _mahalanobis(state[columns] - tracks.state[rows], covariance[columns] + tracks.covariance[rows])
    anybody = covariance[:, 2:, 2:] + options.motion.speed_sigma_m_s**2 * np.eye(2)
    alone, alone_size = _mahalanobis(state[:, 2:], anybody)
    # Twice the negative logarithm of how much likelier it is that the two belong together than that somebody new has appeared.
    gain = together + size - (alone + alone_size)[columns] + 2.0 * np.log(options.newcomers_per_m2)
    cost[rows, columns] = np.where(together < _GATE[1], np.minimum(gain, 0.0), 0.0)
    rows, columns = linear_sum_assignment(cost)
    kept = cost[rows, columns] < 0.0
    return rows[kept], columns[kept]


def _place_distance(tracks: _Tracks, state: np.ndarray, covariance: np.ndarray) -> np.ndarray:
    """(K, N) squared Mahalanobis distances of all pairs in x, z alone; written out, since there are many pairs."""
    x, z = (state[:, axis] - tracks.state[:, None, axis] for axis in (0, 1))
    xx, xz, zz = (covariance[:, i, j] + tracks.covariance[:, None, i, j] for i, j in ((0, 0), (0, 1), (1, 1)))
    return (zz * x**2 - 2.0 * xz * x * z + xx * z**2) / (xx * zz - xz**2)


def _mahalanobis(off: np.ndarray, covariance: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(...) squared distances, and the logarithms of |2π covariance|."""
    distance = (off * np.linalg.solve(covariance, off[..., None])[..., 0]).sum(-1)
    return distance, np.linalg.slogdet(2.0 * np.pi * covariance)[1]
