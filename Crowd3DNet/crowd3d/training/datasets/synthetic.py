"""Synthetic crowds as a data set: every tile is drawn when it is asked for, and everything about it is known."""

from __future__ import annotations

from functools import cache

import numpy as np
from scipy.spatial.transform import Rotation

from crowd3d.bodies import Body, load_body
from crowd3d.bodies.joints import HIPS54
from crowd3d.synthetic import Crop, sample_crop
from crowd3d.training.augment import NONE, Augmentation, augment
from crowd3d.training.datasets.base import AnnotatedTiles
from crowd3d.training.supervision import Sample
from crowd3d.training.supervision.annotation import Annotation, Labels
from crowd3d.types import NOMINAL_STATURE_M

PERSON_SHARE = (0.16, 0.75)
"""Height of an adult at the place that a tile is cut for, as a share of its side."""
SURELY_VISIBLE, HARDLY_VISIBLE = 0.3, 0.02
SMALLEST_PERSON, LARGEST_PERSON = 0.12, 1.1
"""Of the stature over the tile's side: people outside of this range are the business of other tiles."""


class SyntheticTiles(AnnotatedTiles):
    """Tiles of random crowds with the free body.

    Indexing gives the tile of (seed, index), always the same. `sample` draws a new one from the generator that it is given, so that
    training never sees a tile twice, unless `endless` is false.

    Args:
        size: side of the tiles in pixels.
        count: tiles that count as one pass.
        seed: of the tiles that indexing gives.
        endless: see above.
        augmentation: see `AnnotatedTiles`.
    """

    def __init__(self, size: int, count: int = 20_000, seed: int = 0, *, endless: bool = True, augmentation: Augmentation = NONE) -> None:
        super().__init__(size, augmentation)
        self.count, self.seed, self.endless = count, seed, endless

    def __len__(self) -> int:
        return self.count

    def annotation(self, index: int) -> Annotation:
        """The tile of (seed, index)."""
        return draw_tile(np.random.default_rng([self.seed, index]), self.size)

    def sample(self, index: int, rng: np.random.Generator) -> Sample:
        """A new tile, or that of `index`, augmented as `rng` says."""
        tile = draw_tile(rng, self.size) if self.endless else self.annotation(index)
        return augment(tile, rng, self.augmentation).sample(self.size)


def draw_tile(rng: np.random.Generator, size: int) -> Annotation:
    """A random crop of a random crowd; one pixel of the scene is one of the tile."""
    low, high = PERSON_SHARE
    crop = sample_crop(rng, _body(), size, (low * size, high * size))
    return Annotation(
        image=crop.image,
        origin_px=np.zeros(2),
        side_px=float(size),
        K=crop.camera.K,
        plane=crop.ground.coefficients,
        scene_width_px=crop.scene_width_px,
        people=labels_of(crop),
    )


def labels_of(crop: Crop) -> Labels:
    """Everything that is true about the people of a crop who show more than a trace of themselves."""
    rows = {name: array[crop.visible_fraction > HARDLY_VISIBLE] for name, array in crop.arrays().items()}
    count, size = len(rows["betas"]), len(crop.image)
    yes, every = np.ones(count, bool), np.ones((count, 54), bool)
    joints = _body().pose(rows["pose_rad"], rows["betas"])[1] + rows["translation_cam_m"][:, None]
    keypoints = crop.camera.project(joints)
    known = np.isfinite(keypoints).all(2) & (keypoints >= 0).all(2) & (keypoints < size).all(2)
    share = NOMINAL_STATURE_M * crop.camera.fx / rows["torso_cam_m"][:, 2] / size
    fitting = (share > SMALLEST_PERSON) & (share < LARGEST_PERSON)
    return Labels(
        keypoints_px=np.nan_to_num(keypoints),
        keypoints_known=known,
        joints_cam_m=joints,
        joints_known=every,
        rotations=Rotation.from_rotvec(rows["pose_rad"].reshape(-1, 3)).as_matrix().reshape(-1, 24, 3, 3)[:, :22],
        orientation_known=yes,
        pose_known=yes,
        betas=rows["betas"],
        betas_known=yes,
        hvip_px=np.nan_to_num(rows["hvip_px"]),
        hvip_known=np.isfinite(rows["hvip_px"]).all(1),
        torso_px=np.nan_to_num(rows["torso_px"]),
        torso_known=np.isfinite(rows["torso_px"]).all(1),
        root_cam_m=joints[:, HIPS54].mean(1),
        root_known=yes,
        doubtful=~fitting | (rows["visible_fraction"] < SURELY_VISIBLE),
    )


@cache
def _body() -> Body:
    return load_body("free_low")
