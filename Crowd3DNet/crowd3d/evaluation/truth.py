"""The exact truth that belongs to a synthetic crowd."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import numpy as np

from crowd3d.errors import MissingAsset
from crowd3d.files import load_arrays
from crowd3d.geometry import Camera, GroundPlane
from crowd3d.types import People, Scene

MIN_HEIGHT_PX = 30.0
MIN_VISIBLE_FRACTION = 0.5
_VISIBLE = 2


class Truth(NamedTuple):
    """What is true of one image.

    Attributes:
        scene: everybody; the score of a keypoint is 1 visible, 0.5 hidden, 0 outside the image.
        eligible: (G,) people large and visible enough that they must be found.
        extras: all arrays of the file.
    """

    scene: Scene
    eligible: np.ndarray
    extras: dict[str, np.ndarray]

    @property
    def visible(self) -> np.ndarray:
        """(G, 17) keypoints that can be seen."""
        return self.scene.people.keypoints_px[..., 2] == 1.0


def load_truth(path: str | Path) -> Truth:
    """Read ``truth.npz`` of a synthetic scene.

    People count when they are at least 30 px tall and half visible.

    Raises:
        MissingAsset: no such file, or not a truth file.
    """
    path = Path(path)
    try:
        arrays = load_arrays(path)
        keypoints = np.array(arrays["keypoints_px"], np.float64)
        keypoints[..., 2] /= _VISIBLE
        count = len(keypoints)
        width, height = (int(side) for side in arrays["image_size"])
        scene = Scene(
            camera=Camera.from_K(arrays["K"], (width, height)),
            ground=GroundPlane.from_coefficients(arrays["ground"]),
            people=People(
                pose_rad=arrays["pose_rad"].reshape(count, 24, 3),
                betas=arrays["betas"].reshape(count, 10),
                translation_cam_m=arrays["translation_cam_m"].reshape(count, 3),
                hvip_px=arrays["hvip_px"].reshape(count, 2),
                hvip_cam_m=arrays["hvip_cam_m"].reshape(count, 3),
                score=np.ones(count),
                keypoints_px=keypoints,
            ),
            body=str(arrays["body"]),
            image="image.jpg",
        )
        eligible = (arrays["height_px"] >= MIN_HEIGHT_PX) & (arrays["visible_fraction"] >= MIN_VISIBLE_FRACTION)
    except (OSError, ValueError, KeyError) as error:
        raise MissingAsset(f"no readable truth in {path}: {error}; give the truth.npz that `crowd3d synthesize` wrote") from error
    return Truth(scene, eligible, arrays)
