"""The formulas of crowd reconstruction: pair-wise distances, depth order, keypoint similarity, joint errors.

Arrays are rows of matched people unless a docstring says otherwise; `recall` is the share of true people that were matched.
Scores are percentages. A score that needs pairs is NaN for fewer than two true people.
"""

from __future__ import annotations

import itertools

import numpy as np
from scipy.spatial import cKDTree
from scipy.spatial.distance import pdist

from crowd3d.bodies.joints import COCO17_SIGMAS

MISSED_PERSON_MM = 150.0
_FAR_PX = 1e9


def align_similarity(source: np.ndarray, target: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Least-squares similarity without reflection (Umeyama 1991), batched.

    Args:
        source, target: (..., J, 3) corresponding points.

    Returns:
        scale (...), rotation (..., 3, 3) and translation (..., 3) with ``target ≈ scale · source @ rotationᵀ + translation``.
    """
    mean_source, mean_target = source.mean(-2), target.mean(-2)
    a, b = source - mean_source[..., None, :], target - mean_target[..., None, :]
    u, s, vt = np.linalg.svd(np.swapaxes(b, -1, -2) @ a)
    signs = np.ones_like(s)
    signs[..., 2] = np.sign(np.linalg.det(u) * np.linalg.det(vt))
    rotation = (u * signs[..., None, :]) @ vt
    spread = (a**2).sum((-1, -2))
    scale = (s * signs).sum(-1) / np.where(spread > 0, spread, 1.0)
    translation = mean_target - scale[..., None] * (rotation @ mean_source[..., None])[..., 0]
    return scale, rotation, translation


def apply_similarity(transform: tuple[np.ndarray, np.ndarray, np.ndarray], points: np.ndarray) -> np.ndarray:
    """(..., J, 3) points moved by what `align_similarity` returns."""
    scale, rotation, translation = transform
    return scale[..., None, None] * (points @ np.swapaxes(rotation, -1, -2)) + translation[..., None, :]


def _times_recall(share: np.ndarray, recall: float) -> float:
    """Mean of `share` over pairs in percent, weighted by recall; nobody matched in pairs scores 0."""
    return 100.0 * recall * float(share.mean()) if len(share) else 0.0


def ppds(predicted: np.ndarray, true: np.ndarray, recall: float) -> float:
    """Pair-wise percentage distance similarity: recall · mean max(0, 1 − |d̂ − d| / d) over unordered pairs, in percent.

    Args:
        predicted, true: (M, 3) torso centres of matched people, metres.
        recall: matched / true people.
    """
    distance = pdist(true)
    usable = distance > 0
    error = np.abs(pdist(predicted) - distance)[usable] / distance[usable]
    return _times_recall(np.maximum(1.0 - error, 0.0), recall)


def pa_ppds(predicted: np.ndarray, true: np.ndarray, recall: float) -> float:
    """`ppds` after one similarity alignment of all predicted torso centres (M, 3) to the true ones."""
    if len(predicted) < 2:
        return ppds(predicted, true, recall)
    return ppds(apply_similarity(align_similarity(predicted, true), predicted), true, recall)


def scale_score(predicted: np.ndarray, true: np.ndarray) -> float:
    """100 · min(a, 1/a) with a the scale of the similarity alignment of torso centres (M, 3); 0 for fewer than two."""
    if len(predicted) < 2:
        return 0.0
    scale = float(align_similarity(predicted, true)[0])
    return 100.0 * min(scale, 1.0 / scale) if scale > 0 else 0.0


def _pair_differences(values: np.ndarray) -> np.ndarray:
    first, second = np.triu_indices(len(values), 1)
    return values[first] - values[second]


def pcod(predicted_depth: np.ndarray, true_depth: np.ndarray, recall: float) -> float:
    """Percentage of pairs in the right depth order, ties wrong, times recall.

    Args:
        predicted_depth, true_depth: (M,) z of torso centres in the camera frame, metres.
        recall: matched / true people.
    """
    return _times_recall(_pair_differences(predicted_depth) * _pair_differences(true_depth) > 0, recall)


def pcod_banded(predicted_depth: np.ndarray, true_depth: np.ndarray, recall: float, band_m: float = 0.3) -> float:
    """SMAP's form of `pcod`: nearer, farther, or equal within `band_m`; the class of a pair must be right."""

    def ordinal(depth: np.ndarray) -> np.ndarray:
        difference = _pair_differences(depth)
        return np.sign(difference) * (np.abs(difference) > band_m)

    return _times_recall(ordinal(predicted_depth) == ordinal(true_depth), recall)


def oks_matrix(
    true_px: np.ndarray, counted: np.ndarray, area_px: np.ndarray, predicted_px: np.ndarray, least: float = 1e-12
) -> np.ndarray:
    """Object keypoint similarity of all pairs: mean over counted joints of exp(−d² / (2 · area · (2σ)²)), as COCO.

    Args:
        true_px: (G, 17, 2) pixels.
        counted: (G, 17) which true joints count; a person without any has similarity 0 to everybody.
        area_px: (G,) area of the true boxes.
        predicted_px: (P, 17, 2) pixels; NaN counts as infinitely far.
        least: what is below may be 0; the smaller, the more pairs have to be computed.

    Returns:
        (G, P) in 0…1.
    """
    similarity = np.zeros((len(true_px), len(predicted_px)))
    if similarity.size == 0:
        return similarity
    true_px, predicted_px = np.nan_to_num(true_px, nan=-_FAR_PX), np.nan_to_num(predicted_px, nan=_FAR_PX)
    spread_px = 2.0 * COCO17_SIGMAS * np.sqrt(np.maximum(area_px, 1.0))[:, None]
    g, p = _pairs_with_a_close_joint(true_px, counted, np.sqrt(-2.0 * np.log(least)) * spread_px, predicted_px)
    squared = ((true_px[g] - predicted_px[p]) ** 2).sum(-1)
    closeness = np.exp(-0.5 * squared / spread_px[g] ** 2) * counted[g]
    similarity[g, p] = closeness.sum(1) / counted[g].sum(1)
    return similarity


def _pairs_with_a_close_joint(
    true_px: np.ndarray, counted: np.ndarray, reach_px: np.ndarray, predicted_px: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Rows (E,), (E,) of the pairs whose similarity can exceed the least one: most people of a crowd are far apart."""
    keys = []
    for joint in range(true_px.shape[1]):
        rows = np.flatnonzero(counted[:, joint])
        near = cKDTree(predicted_px[:, joint]).query_ball_point(true_px[rows, joint], reach_px[rows, joint])
        found = np.fromiter(itertools.chain.from_iterable(near), np.int64)
        keys.append(np.repeat(rows, [len(one) for one in near]) * len(predicted_px) + found)
    return np.divmod(np.unique(np.concatenate(keys)), len(predicted_px))


def redundancy(predicted_count: int, true_count: int) -> float:
    """RP = clip(P/G − 1.02, 0, 1) in percent."""
    return 100.0 * float(np.clip(predicted_count / true_count - 1.02, 0.0, 1.0))


def gigacrowd_score(pa_ppds_: float, scale: float, pcod_: float, oks: float, rp: float) -> float:
    """0.3·PA-PPDS + 0.2·scale + 0.1·PCOD + 0.4·OKS − 0.5·RP, all in percent."""
    return 0.3 * pa_ppds_ + 0.2 * scale + 0.1 * pcod_ + 0.4 * oks - 0.5 * rp


def joint_errors_mm(predicted: np.ndarray, true: np.ndarray) -> np.ndarray:
    """Mean joint error of each person without any alignment, (M, J, 3) metres twice → (M,) millimetres."""
    return 1000.0 * np.linalg.norm(predicted - true, axis=-1).mean(-1)


def aligned_joint_errors_mm(predicted: np.ndarray, true: np.ndarray) -> np.ndarray:
    """`joint_errors_mm` after a similarity alignment of every person on their own (PA-MPJPE)."""
    return joint_errors_mm(apply_similarity(align_similarity(predicted, true), predicted), true)


def density_error(predicted_xz: np.ndarray, true_xz: np.ndarray, cell_m: float = 1.0) -> float:
    """Mean absolute difference of two density maps in people/m², over the cells that either crowd touches.

    Each person is spread bilinearly over the four nearest cells, so that the figure does not jump with the grid's origin.

    Args:
        predicted_xz, true_xz: (P, 2), (G, 2) positions on the ground, metres.
        cell_m: side of a cell.
    """
    weights: list[np.ndarray] = []
    cells: list[np.ndarray] = []
    for sign, positions in ((1.0, predicted_xz), (-1.0, true_xz)):
        corner = np.floor(positions / cell_m)
        part = positions / cell_m - corner
        for step in ((0, 0), (0, 1), (1, 0), (1, 1)):
            cells.append(corner + step)
            weights.append(sign * np.where(step, part, 1.0 - part).prod(1))
    _, index = np.unique(np.concatenate(cells), axis=0, return_inverse=True)
    difference = np.bincount(index.ravel(), np.concatenate(weights))
    touched = np.bincount(index.ravel(), np.abs(np.concatenate(weights))) > 1e-12
    return float(np.abs(difference[touched]).mean() / cell_m**2) if touched.any() else 0.0
