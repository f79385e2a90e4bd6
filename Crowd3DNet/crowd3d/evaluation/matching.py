"""Who is whom: assignment of predictions to true people."""

from __future__ import annotations

import numpy as np
from scipy.optimize import linear_sum_assignment

# Half of COCO's usual 0.5, which assumes the area of the silhouette and large people. At 0.3 the joints of two equal poses lie
# about 0.15 statures (0.25 m) apart: nearer than two people can stand, farther than a keypoint is off.
OKS_GATE = 0.3
GROUND_GATE_M = 2.0
GROUND_TIE_WEIGHT = 0.02

Pairs = tuple[np.ndarray, np.ndarray]


def match_published(oks: np.ndarray) -> Pairs:
    """The published greedy matching: each true person claims its most similar prediction, first come first served.

    A true person whose best prediction is taken is dropped, even if a second one would fit.

    Args:
        oks: (G, P) similarity that ignores visibility.

    Returns:
        (true rows (M,), prediction rows (M,)), true rows ascending.
    """
    if oks.size == 0:
        return np.zeros(0, np.int64), np.zeros(0, np.int64)
    best = oks.argmax(1)
    similar = np.flatnonzero(oks.max(1) > 0)
    _, first = np.unique(best[similar], return_index=True)
    true = similar[np.sort(first)]
    return true, best[true]


def match_optimal(oks: np.ndarray, ground_distance_m: np.ndarray, has_keypoints: np.ndarray) -> Pairs:
    """One-to-one assignment of the largest total similarity (Hungarian), gated.

    People with 2D labels are matched by OKS ≥ 0.3, ties broken towards the nearer ground position: that of a pair in depth is
    far less certain than the pixels. People without are matched by ground distance ≤ 2 m.

    Args:
        oks: (G, P) similarity over visible joints.
        ground_distance_m: (G, P) distance between ground positions, metres.
        has_keypoints: (G,) whether a true person has any 2D label.

    Returns:
        (true rows (M,), prediction rows (M,)), true rows ascending.
    """
    nearness = np.exp(-ground_distance_m / GROUND_GATE_M)
    by_keypoints = has_keypoints[:, None]
    similarity = np.where(by_keypoints, oks + GROUND_TIE_WEIGHT * nearness, nearness)
    allowed = np.where(by_keypoints, oks >= OKS_GATE, ground_distance_m <= GROUND_GATE_M)
    true, predicted = linear_sum_assignment(np.where(allowed, similarity, 0.0), maximize=True)
    kept = allowed[true, predicted]
    return true[kept], predicted[kept]
