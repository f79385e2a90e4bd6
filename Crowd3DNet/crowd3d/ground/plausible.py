"""Keypoints that cannot belong to the picture, with the likely cause."""

from __future__ import annotations

import numpy as np

from crowd3d.errors import ImplausibleKeypoints
from crowd3d.geometry import Camera, GroundPlane

_NORMALISED = 1.5
_SMALLEST_PICTURE = 32
_MARGIN = 0.25
"""Cut-off joints may be guessed so far outside, as a share of the picture's side."""
_MOST_OUTSIDE, _LEAST_INSIDE = 0.5, 0.9
_MOST_ABOVE = 0.5


def check_inside(keypoints: np.ndarray, image_size: tuple[int, int]) -> None:
    """Refuse keypoints of which most lie outside the picture, or that are shares of its sides.

    Args:
        keypoints: (N, 17, 3) u, v in pixels and score; those with score 0 and NaN do not count.
        image_size: width and height in pixels.

    Raises:
        ImplausibleKeypoints: normalised coordinates, u and v swapped, or another picture's.
    """
    points = keypoints[(keypoints[..., 2] > 0) & np.isfinite(keypoints[..., :2]).all(-1)][:, :2]
    if not len(points):
        return
    width, height = image_size
    if np.abs(points).max() <= _NORMALISED and min(image_size) >= _SMALLEST_PICTURE:
        raise ImplausibleKeypoints(
            f"all keypoints lie within 0…{points.max():.2g} of a picture of {width}x{height}: they look normalised; "
            "multiply u by the width and v by the height"
        )
    inside = _share_inside(points, width, height)
    if inside >= _MOST_OUTSIDE:
        return
    share = f"{100 * (1 - inside):.0f} % of the keypoints lie outside the picture of {width}x{height}"
    if _share_inside(points[:, ::-1], width, height) >= _LEAST_INSIDE:
        raise ImplausibleKeypoints(f"{share}, but they fit with u and v swapped; give u (to the right) first")
    right, bottom = np.percentile(points, 99, axis=0)
    raise ImplausibleKeypoints(f"{share}: they reach {right:.0f}x{bottom:.0f} and are another picture's, or of another size of this one")


def _share_inside(points: np.ndarray, width: int, height: int) -> float:
    margin = _MARGIN * np.array([width, height])
    return float(((points >= -margin) & (points <= np.array([width, height]) + margin)).all(1).mean())


def check_below_horizon(keypoints: np.ndarray, camera: Camera, ground: GroundPlane) -> None:
    """Refuse a camera and ground that are given but on whose ground hardly anybody can stand.

    Args:
        keypoints: (N, 17, 3) u, v in pixels and score.
        camera, ground: as given by the user.

    Raises:
        ImplausibleKeypoints: most people's ankles are above the horizon.
    """
    keypoints = np.asarray(keypoints, np.float64)
    known = (keypoints[:, 15:17, 2] > 0) & np.isfinite(keypoints[:, 15:17, :2]).all(-1)
    ankles = keypoints[:, 15:17, :2][known]
    if not len(ankles):
        return
    above = camera.rays(ankles) @ ground.normal >= 0
    if above.mean() > _MOST_ABOVE:
        raise ImplausibleKeypoints(
            f"{100 * above.mean():.0f} % of the ankles are above the horizon of the given camera (tilt {np.rad2deg(ground.tilt_rad):.1f}°, "
            f"{camera.fov_x_deg:.0f}° wide); check that camera, ground and keypoints belong to this picture"
        )
