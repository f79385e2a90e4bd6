"""The embedded 2D backend: Crowd3DNet's centre head finds people, the keypoint network looks at each of them."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from scipy.spatial import cKDTree
from tqdm import tqdm

from crowd3d.geometry import Camera, GroundPlane
from crowd3d.imaging import GigapixelImage
from crowd3d.model import Maps, decode_maps, load_network, load_weights
from crowd3d.model.checkpoints import fill
from crowd3d.model.engines import Engine, EngineName, make_engine
from crowd3d.model.keypoint_net import (
    CROP_HEIGHT_M,
    CROP_SIZE,
    HVIP,
    TORSO,
    TORSO_OFFSET_M,
    CropPoints,
    KeypointNet,
    decode_crop_points,
    look_again,
)
from crowd3d.model.lifting import HVIP_REACH, TORSO_OFFSET_TILES
from crowd3d.pose.merging import TOLERANCE, suppress
from crowd3d.pose.observations import Observations, person_size_px
from crowd3d.types import Rows, TileLayout

TILE_PX = 256
FIRST_THRESHOLD = 0.12
"""Candidates above this score are looked at; the keypoint network decides who is a person."""
PERSON_THRESHOLD = 0.70
WORTH_SECOND_LOOK = 0.1
"""Candidates below this certainty do not become people by being looked at again."""
CERTAINTY_OFFSET, CERTAINTY_WEIGHTS = -7.871, (0.306, 0.911, -3.438)
TORSO_HEIGHT_M = 1.05
"""Mean height of torso centres over the ground, seated people and children included: turns lengths in pixels into a scale."""
SAME_PERSON = 0.16
"""Candidates whose torso centres are closer than this share of a torso's height are one."""
SAME_PERSON_OKS = 0.5
SAME_TORSO, NEIGHBOUR_REACH = 0.14, 0.25
"""Shares of a person's size: torso centres nearer than the first are one person's, those within the second may be."""
SCALE_DOUBT = 1.6
"""The ground may correct a candidate's own scale by this factor."""
BATCH = 16


@dataclass(frozen=True)
class Candidates(Rows):
    """Places where people may be, scene pixels.

    Attributes:
        torso_px: (M, 2) torso centres.
        per_metre: (M,) pixels per metre there.
        score: (M,) of the centre head.
    """

    torso_px: np.ndarray
    per_metre: np.ndarray
    score: np.ndarray


class EmbeddedPose:
    """Both networks, loaded once.

    Args:
        detector: weights of a Crowd3DNet with the compact backbone.
        keypoints: weights of a `KeypointNet`.
        engine: see `crowd3d.model.engines`.
    """

    def __init__(self, detector: Path, keypoints: Path, engine: EngineName = "auto") -> None:
        network, _ = load_network(detector)
        tile = torch.zeros(2, TILE_PX, TILE_PX, 3)
        self.detector: Engine = make_engine(network, [tile, torch.zeros(2, 3), torch.zeros(2, 4)], engine)
        pose = KeypointNet()
        fill(pose, load_weights(keypoints)[0], keypoints)
        self.keypoints: Engine = make_engine(pose, [torch.zeros(2, *CROP_SIZE, 3)], engine)

    def find(self, image: GigapixelImage, layouts: Iterable[TileLayout], describe: str) -> Candidates:
        """Look for people in all tiles of all layouts; one person may be found several times."""
        boxes = np.concatenate([layout.boxes for layout in layouts])
        found: list[tuple[np.ndarray, ...]] = [(np.zeros((0, 2)), np.zeros(0), np.zeros(0))]
        with tqdm(total=len(boxes), desc=describe, unit="tile") as bar:
            for rows, tiles in image.crops(boxes, TILE_PX, BATCH):
                blank = torch.zeros(len(rows), 4)
                maps = Maps(*self.detector(torch.from_numpy(tiles).float(), blank[:, :3], blank))
                people = decode_maps(maps, threshold=FIRST_THRESHOLD)
                box = boxes[rows][people.image_index.numpy()]
                side = (box[:, 2] - box[:, 0]).astype(np.float64)
                torso = people.centers.numpy() / people.map_size + TORSO_OFFSET_TILES * (2 * people.torso_offset.numpy() - 1)
                length = people.hvip_length.numpy() * HVIP_REACH / 2 * side
                found.append((torso * side[:, None] + box[:, [1, 0]], length / TORSO_HEIGHT_M, people.score.numpy()))
                bar.update(len(rows))
        return Candidates(*(np.concatenate(field) for field in zip(*found, strict=True)))

    def look(self, image: GigapixelImage, candidates: Candidates, describe: str, *, twice: bool) -> Observations:
        """Keypoints of every candidate; `Observations.score` is what the keypoint network says of his presence.

        Args:
            image: the photograph.
            candidates: where to look.
            describe: for the progress bar.
            twice: look again at all who may be people; see `look_again`.
        """
        side = np.maximum(CROP_HEIGHT_M * candidates.per_metre, 8.0)
        corner = candidates.torso_px + np.stack([np.zeros_like(side), TORSO_OFFSET_M * candidates.per_metre], 1) - side[:, None] / 2
        windows = np.concatenate([corner, side[:, None]], 1).round().astype(np.int64)
        boxes = np.stack([windows[:, 1], windows[:, 0], windows[:, 1] + windows[:, 2], windows[:, 0] + windows[:, 2]], 1)
        margin = (CROP_SIZE[0] - CROP_SIZE[1]) // 2
        found: list[Observations] = []
        with tqdm(total=len(boxes), desc=describe, unit="person") as bar:
            for rows, crops in image.crops(boxes, CROP_SIZE[0], BATCH, fill=114):
                crop = np.ascontiguousarray(crops[:, :, margin : margin + CROP_SIZE[1]])
                pixels = torch.from_numpy(crop).float()
                found.append(self._see(pixels, windows[rows], candidates[rows], twice=twice))
                bar.update(len(rows))
        return Observations.joined(found)

    def _see(self, crops: torch.Tensor, windows: np.ndarray, candidates: Candidates, *, twice: bool) -> Observations:
        heat, attributes = self.keypoints(crops)
        observed = observations_from_crops(decode_crop_points(heat, attributes), windows)
        again = torch.from_numpy(np.flatnonzero(certainty(observed, candidates) > WORTH_SECOND_LOOK))
        if not twice or len(again) == 0:
            return observed
        merged = look_again(self.keypoints, crops[again], heat[again], attributes[again])
        both = (whole.index_copy(0, again, part) for whole, part in zip((heat, attributes), merged, strict=True))
        return observations_from_crops(decode_crop_points(*both), windows)


def observations_from_crops(points: CropPoints, windows: np.ndarray) -> Observations:
    """Crop pixels → pixels of the image that the square `windows` (N, 3) left, top, side refer to."""
    scale = windows[:, None, 2:] / CROP_SIZE[0]
    xy = (points.xy_px.numpy() + [(CROP_SIZE[0] - CROP_SIZE[1]) // 2, 0]) * scale + windows[:, None, :2]
    return Observations(
        xy_px=xy[:, :TORSO],
        sigma_px=(points.sigma_px.numpy() * scale[..., 0])[:, :TORSO],
        visible=points.visible.numpy()[:, :TORSO],
        depth_m=points.depth_m.numpy()[:, :TORSO],
        depth_sigma_m=points.depth_sigma_m.numpy()[:, :TORSO],
        hvip_px=xy[:, HVIP],
        score=points.visible.numpy()[:, TORSO],
    )


def one_each(candidates: Candidates) -> Candidates:
    """Keep the best of those candidates that mean the same person: near each other and of similar size."""
    order = np.argsort(-candidates.score)
    candidates = candidates[order]
    reach = SAME_PERSON * TORSO_HEIGHT_M * candidates.per_metre
    pairs = cKDTree(candidates.torso_px).query_pairs(reach.max(initial=1.0), output_type="ndarray") if len(reach) else np.zeros((0, 2), int)
    first, second = np.sort(pairs, 1).T
    near = np.linalg.norm(candidates.torso_px[first] - candidates.torso_px[second], axis=1) < np.minimum(reach[first], reach[second]) * 1.25
    alike = np.abs(np.log(candidates.per_metre[first] / candidates.per_metre[second])) < np.log(2.0)
    kept = np.ones(len(candidates), bool)
    pairs = np.stack([first, second], 1)[near & alike]
    for a, b in pairs[np.argsort(pairs[:, 0], kind="stable")]:
        kept[b] &= not kept[a]
    return candidates[kept]


def with_known_scale(candidates: Candidates, camera: Camera, ground: GroundPlane) -> Candidates:
    """Replace each candidate's scale by that of a person who stands where his torso is seen, within reason of what it looks like."""
    rays = camera.rays(candidates.torso_px)
    slope = rays @ ground.normal
    depth = (TORSO_HEIGHT_M - ground.offset_m) / np.where(slope < -1e-6, slope, np.nan)
    known = np.clip(camera.fx / depth, candidates.per_metre / SCALE_DOUBT, candidates.per_metre * SCALE_DOUBT)
    return Candidates(candidates.torso_px, np.where(depth > 0, known, candidates.per_metre), candidates.score)


def certainty_features(observed: Observations, candidates: Candidates) -> np.ndarray:
    """(N, 3) what `certainty` looks at: log odds of presence, log detection score, log of the keypoints' spread over the person's size."""
    presence = np.clip(observed.score, 1e-4, 1 - 1e-4)
    relative_sigma = np.median(observed.sigma_px / person_size_px(observed.xy_px)[:, None], axis=1)
    return np.log(np.stack([presence / (1 - presence), np.clip(candidates.score, 0.05, 1.0), relative_sigma], 1))


def certainty(observed: Observations, candidates: Candidates) -> np.ndarray:
    """(N,) probability that a candidate is a person, seen once and framed well: a logistic regression (`benchmarks/certainty.py`).

    Args:
        observed: what `EmbeddedPose.look` saw of N candidates.
        candidates: the same N.
    """
    return 1.0 / (1.0 + np.exp(-(CERTAINTY_OFFSET + certainty_features(observed, candidates) @ CERTAINTY_WEIGHTS)))


def distinct(observed: Observations) -> np.ndarray:
    """(K,) ascending rows that remain when everybody who was looked at twice is kept once, by the highest score.

    Two observations are one person when their torso centres nearly coincide or their sure keypoints agree.
    """
    size = person_size_px(observed.xy_px)
    torso = observed.torso_px
    reach = NEIGHBOUR_REACH * size.max(initial=1.0)
    pairs = cKDTree(torso).query_pairs(reach, output_type="ndarray") if len(size) else np.zeros((0, 2), int)
    first, second = pairs.T
    apart = np.linalg.norm(torso[first] - torso[second], axis=1)
    larger, smaller = np.maximum(size[first], size[second]), np.minimum(size[first], size[second])
    weight = 1.0 / (observed.sigma_px[first] ** 2 + observed.sigma_px[second] ** 2)
    distance = np.linalg.norm(observed.xy_px[first] - observed.xy_px[second], axis=-1) / larger[:, None]
    similarity = (weight * np.exp(-0.5 * (distance / TOLERANCE) ** 2)).sum(1) / weight.sum(1)
    same = (apart < SAME_TORSO * smaller) | ((apart < NEIGHBOUR_REACH * larger) & (similarity > SAME_PERSON_OKS))
    return np.flatnonzero(suppress(pairs, same.astype(float), observed.score, 0.5))
