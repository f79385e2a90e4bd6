"""What is known of a camera before anybody is looked at: the kinds of cameras that people are photographed with.

Focal lengths are those equivalent to a 36 × 24 mm frame of 43.3 mm diagonal (CIPA DCG-001). Sources of the lenses: main cameras of phones
are 24 to 28 mm wide (iPhone 7: 28, iPhone 11 to 13: 26, iPhone 17 Pro: 24 mm; their ultra-wide ones 13 mm: Apple's technical
specifications), action cameras 14 to 20 mm (GoPro's field-of-view tables: "linear" is 19 to 39 mm), the lenses of 1/2.7" to 1/3"
surveillance cameras 2.8 to 12 mm, which are 20 to 85 mm, box lenses of television are as long as the pitch is far. Heights: surveillance
cameras are put out of reach, at 2.5 m and more under ceilings and 3 to 10 m on masts and walls (installers' guides); eyes are at
0.936 of the stature and phones in front of them or of the chest; cameras on cars are 1.2 to 1.8 m high (KITTI: 1.65 m), the main cameras of
a football match 12 to 25 m (FIFA, Football Stadiums, on camera positions). Shares, tilts and spreads are this project's estimates.
All lengths are wider than the sources say, because pictures are cropped before they are shown. One kind is anything else, so that people
overrule the rest.
"""

from __future__ import annotations

import numpy as np

from crowd3d.ground.prediction import PARAMETERS
from crowd3d.ground.prior import Prior

FRAME_DIAGONAL_MM = float(np.hypot(36.0, 24.0))
# share, focal length in mm and relative spread, tilt and spread in degrees, spread of the roll in degrees, height in m and relative spread
_KINDS = {
    "phone or compact camera at eye level": (22, 28, 0.20, 2, 7, 2.2, 1.5, 0.13),
    "camera with a normal lens at eye level": (16, 45, 0.35, 1.5, 5, 1.8, 1.5, 0.13),
    "camera with a long lens at eye level": (9, 120, 0.5, 1, 4, 1.5, 1.5, 0.17),
    "ultra-wide or action camera": (5, 16, 0.25, 3, 12, 4, 1.4, 0.35),
    "held low or above the head": (9, 32, 0.4, 4, 14, 3, 1.3, 0.45),
    "on a car": (4, 24, 0.3, 1, 3, 1.2, 1.5, 0.15),
    "balcony, steps, window": (11, 35, 0.45, 14, 11, 2, 5, 0.6),
    "surveillance": (8, 35, 0.45, 22, 11, 2.5, 4.5, 0.5),
    "hall, roof, tower": (6, 40, 0.5, 22, 12, 1.5, 18, 0.55),
    "broadcast": (6, 90, 0.65, 12, 6, 1, 14, 0.5),
    "drone": (3, 27, 0.3, 45, 25, 2, 30, 0.7),
    "anything": (5, 40, 0.7, 15, 30, 8, 6, 1.5),
}
_PANORAMAS = {
    "stitched at eye level": (40, 70, 0.45, 1, 6, 1.5, 1.6, 0.2),
    "stitched from above": (60, 58, 0.45, 14, 12, 1.5, 11, 0.7),
}
"""The second column is the horizontal field of view in degrees."""
_STITCHED_ASPECT, _STITCHED_STEP = 2.2, 0.15
_NEVER_UPRIGHT = ("on a car", "surveillance", "broadcast")
_UPRIGHT_SHARE = 0.15
_LEAN_RAD, _LEAN_SPREAD = float(np.deg2rad(3.0)), 0.5


def camera_prior(image_size: tuple[int, int], mean_stature_sigma: float) -> Prior:
    """Prior of the parameters of `prediction`, focal length in units of the longer side.

    Args:
        image_size: width and height in pixels.
        mean_stature_sigma: relative standard deviation of the crowd's mean stature; 0 fixes it.
    """
    width, height = image_size
    longer, diagonal = max(image_size), float(np.hypot(width, height))
    stitched = 1.0 / (1.0 + np.exp(-(longer / min(image_size) - _STITCHED_ASPECT) / _STITCHED_STEP))
    rows, shares = [], []
    for name, (share, mm, *rest) in _KINDS.items():
        upright = _UPRIGHT_SHARE if height > width and name in _NEVER_UPRIGHT else 1.0
        shares.append(share * upright * (1.0 - 0.6 * stitched))
        rows.append([np.log(mm / FRAME_DIAGONAL_MM * diagonal / longer), *rest])
    for share, fov_deg, *rest in _PANORAMAS.values():
        shares.append(share * stitched)
        rows.append([np.log(width / longer / 2.0 / np.tan(np.deg2rad(fov_deg) / 2.0)), *rest])
    focal, focal_sigma, tilt, tilt_sigma, roll_sigma, metres, metres_sigma = np.array(rows).T
    kinds = len(rows)
    mean, sigma = np.zeros((kinds, PARAMETERS)), np.zeros((kinds, PARAMETERS))
    mean[:, :4] = np.stack([focal, np.deg2rad(tilt), np.zeros(kinds), np.log(metres)], 1)
    sigma[:, :4] = np.stack([focal_sigma, np.deg2rad(tilt_sigma), np.deg2rad(roll_sigma), metres_sigma], 1)
    mean[:, 4], sigma[:, 4] = np.log(_LEAN_RAD), _LEAN_SPREAD
    sigma[:, 5] = mean_stature_sigma
    free = np.ones(PARAMETERS, bool)
    free[5] = mean_stature_sigma > 0
    return Prior(np.log(np.array(shares) / np.sum(shares)), mean, sigma, free)
