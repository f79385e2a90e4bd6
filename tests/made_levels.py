"""A square with a stand beside it, or with stairs up to a terrace, seen by one camera: two levels."""

from __future__ import annotations

import numpy as np
from scipy.spatial import cKDTree

from crowd3d.geometry import Camera, GroundPlane
from crowd3d.ground.simulate import STANDING, Condition, simulate_crowd

SIZE = (2000, 1000)
CAMERA = Camera.from_fov(55.0, SIZE)
GROUND = GroundPlane.from_angles(0.28, 0.01, 9.0)
RISE_M = 3.5
SEEN = Condition(noise_px=0.7, outliers=0.1)
STEPS = np.linspace(0.05, 0.95, 10)


def square_with_stand(seed: int) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Keypoints (N, 17, 3), places (N, 2) x, z, who is on the stand and who stands, (N,) each; nobody of the square is near the stand."""
    rng = np.random.default_rng(seed)
    square = simulate_crowd(CAMERA, GROUND, 120, rng, condition=SEEN, reach_m=60.0)
    stand = simulate_crowd(CAMERA, GROUND.raised(RISE_M), 1500, rng, condition=SEEN, reach_m=60.0)
    ahead = -stand.feet_m[:, 1]
    on_it = np.flatnonzero((stand.keypoints[:, 5, 0] < 0.38 * SIZE[0]) & (ahead > 25) & (ahead < 45))[:60]
    free = cKDTree(stand.feet_m[on_it]).query(square.feet_m)[0] > 2.0
    keypoints = np.concatenate([square.keypoints[free], stand.keypoints[on_it]])
    kind = np.concatenate([square.kind[free], stand.kind[on_it]])
    places = np.concatenate([square.feet_m[free], stand.feet_m[on_it]])
    return keypoints, places, np.repeat([False, True], [free.sum(), len(on_it)]), kind == STANDING


def square_with_stairs(seed: int) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Two people on each step: keypoints (N, 17, 3), places (N, 2) x, z, height over the square in m and who stands, (N,) each."""
    rng = np.random.default_rng(seed)
    square = simulate_crowd(CAMERA, GROUND, 120, rng, condition=SEEN, reach_m=60.0)
    parts = [(RISE_M, 30.0, 45.0, 60), *((RISE_M * share, 24 + 6 * share - 0.4, 24 + 6 * share + 0.4, 2) for share in STEPS)]
    above = []
    for height, near, far, count in parts:
        crowd = simulate_crowd(CAMERA, GROUND.raised(height), 1500, rng, condition=SEEN, reach_m=60.0)
        ahead = -crowd.feet_m[:, 1]
        rows = np.flatnonzero((crowd.keypoints[:, 5, 0] < 0.38 * SIZE[0]) & (ahead > near) & (ahead < far))[:count]
        above.append((crowd.keypoints[rows], crowd.feet_m[rows], np.full(len(rows), height), crowd.kind[rows] == STANDING))
    free = cKDTree(np.concatenate([part[1] for part in above])).query(square.feet_m)[0] > 2.0
    below = (square.keypoints[free], square.feet_m[free], np.zeros(free.sum()), square.kind[free] == STANDING)
    keypoints, places, height_m, stands = (np.concatenate(part) for part in zip(below, *above, strict=True))
    return keypoints, places, height_m, stands
