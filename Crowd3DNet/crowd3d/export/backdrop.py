"""The photograph as a picture that hangs behind the crowd, for the formats with skeletons."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import cv2
import numpy as np

from crowd3d.errors import BadOutput
from crowd3d.export.rig import Performer
from crowd3d.types import Scene

_BEHIND = 1.15
"""It hangs so much farther away than the farthest person."""


class Backdrop(NamedTuple):
    """A rectangle across the whole view.

    Attributes:
        corners: (4, 3) float32 upright world, metres, of the picture's corners: top left, top right, bottom right, bottom left.
        jpeg: the picture.
    """

    corners: np.ndarray
    jpeg: bytes


def hang(scene: Scene, people: Sequence[Performer], photograph: np.ndarray) -> Backdrop:
    """Hang a photograph, (H, W, 3) uint8 RGB, behind everybody.

    Raises:
        BadOutput: it is too large for a JPEG.
    """
    camera, ground = scene.camera, scene.ground
    fine, jpeg = cv2.imencode(".jpg", cv2.cvtColor(photograph, cv2.COLOR_RGB2BGR))
    if not fine:
        raise BadOutput(f"the photograph {scene.image} could not be encoded as JPEG")
    places = ground.from_world(np.concatenate([person.pelvis_m for person in people]))
    depth = _BEHIND * float(places[:, 2].max()) + 1.0
    corners_px = np.array([[0, 0], [camera.width, 0], [camera.width, camera.height], [0, camera.height]], np.float64)
    return Backdrop(ground.to_world(depth * camera.rays(corners_px)).astype(np.float32), jpeg.tobytes())
