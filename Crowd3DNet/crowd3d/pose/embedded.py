"""The embedded 2D backend: Crowd3DNet's centre head finds people, the keypoint network looks at each of them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from scipy.spatial import cKDTree
from torch import Tensor, nn
from tqdm import tqdm

from crowd3d.geometry import Camera, GroundPlane
from crowd3d.imaging import GigapixelImage, turned
from crowd3d.model import Crowd3DNet, Maps, decode_maps, load_network, load_weights
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
    all_views,
    decode_crop_points,
)
from crowd3d.model.lifting import HVIP_REACH, TORSO_OFFSET_TILES
from crowd3d.pose.merging import TOLERANCE, suppress
from crowd3d.pose.observations import Observations, person_size_px
from crowd3d.types import Rows

TILE_PX = 256
FIRST_THRESHOLD = 0.2
"""Candidates above this score are looked at; the keypoint network decides who is a person."""
PERSON_THRESHOLD, SURE_THRESHOLD = 0.35, 0.5
"""Certainty of people, and of those who camera and ground are estimated from. The first is lower than even, because somebody who is
missed counts more than one too many; see `benchmarks/certainty.py`."""
WORTH_CLOSE_LOOK = 0.005
"""Candidates below this certainty after one view do not become people by being looked at again."""
CERTAINTY_OFFSET, CERTAINTY_WEIGHTS = -9.882, (1.193, 0.982, -2.001)
TORSO_HEIGHT_M = 1.05
"""Mean height of torso centres over the ground, seated people and children included: turns lengths in pixels into a scale."""
SAME_PERSON = 0.16
"""Candidates whose torso centres are closer than this share of a torso's height are one."""
SAME_PERSON_OKS = 0.5
SAME_TORSO, NEIGHBOUR_REACH = 0.14, 0.25
"""Shares of a person's size: torso centres nearer than the first are one person's, those within the second may be."""
SCALE_DOUBT = 1.6
"""The ground may correct a candidate's own scale by this factor."""
LEAST_TURN_RAD = np.deg2rad(3.0)
"""People who lean less are shown to the networks as they are, which saves the turning."""
BATCH = 16


@dataclass(frozen=True)
class Candidates(Rows):
    """Places where people may be, scene pixels.

    Attributes:
        torso_px: (M, 2) torso centres.
        per_metre: (M,) pixels per metre there.
        score: (M,) of the centre head.
        lean_rad: (M,) how far verticals lean to the right there, 0 where it is not known.
    """

    torso_px: np.ndarray
    per_metre: np.ndarray
    score: np.ndarray
    lean_rad: np.ndarray


class _Finder(nn.Module):
    """Features and centre map of tiles: all that a tile without people needs."""

    def __init__(self, network: Crowd3DNet) -> None:
        super().__init__()
        self.network = network

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        features = self.network.features(images)
        return features, self.network.center_map(features)


class _Placer(nn.Module):
    """Place maps from features."""

    def __init__(self, network: Crowd3DNet) -> None:
        super().__init__()
        self.network = network

    def forward(self, features: Tensor) -> Tensor:
        return self.network.place_maps(features)


class EmbeddedPose:
    """Both networks, loaded once.

    Args:
        detector: weights of a Crowd3DNet with the compact backbone.
        keypoints: weights of a `KeypointNet`.
        engine: see `crowd3d.model.engines`.
    """

    def __init__(self, detector: Path, keypoints: Path, engine: EngineName = "auto") -> None:
        network, _ = load_network(detector)
        tiles = torch.zeros(2, TILE_PX, TILE_PX, 3)
        self.finder: Engine = make_engine(_Finder(network), [tiles], engine)
        self.placer: Engine = make_engine(_Placer(network), [network.features(tiles)], engine)
        pose = KeypointNet()
        fill(pose, load_weights(keypoints)[0], keypoints)
        self.keypoints: Engine = make_engine(pose, [torch.zeros(2, *CROP_SIZE, 3)], engine)

    def find(self, image: GigapixelImage, boxes: np.ndarray, lean_rad: np.ndarray, describe: str) -> Candidates:
        """Look for people in tiles; one person may be found several times.

        Args:
            image: the photograph.
            boxes: (T, 4) top, left, bottom, right of the tiles.
            lean_rad: (T,) how far verticals lean to the right in each, 0 where it is not known.
            describe: for the progress bar.
        """
        lean_rad = _worth_turning(lean_rad)
        found: list[tuple[np.ndarray, ...]] = [(np.zeros((0, 2)), *np.zeros((3, 0)))]
        with tqdm(total=len(boxes), desc=describe, unit="tile") as bar:
            for rows, tiles in image.crops(boxes, TILE_PX, BATCH, turn_rad=lean_rad):
                bar.update(len(rows))
                features, centres = self.finder(torch.from_numpy(tiles).float())
                occupied = (centres.flatten(1).amax(1) > FIRST_THRESHOLD).nonzero()[:, 0]
                if len(occupied) == 0:
                    continue
                places = self.placer(features[occupied])[0]
                people = decode_maps(Maps(places, centres[occupied]), threshold=FIRST_THRESHOLD)
                tile = rows[occupied[people.image_index].numpy()]
                side = (boxes[tile, 2] - boxes[tile, 0]).astype(np.float64)
                torso = people.centers.numpy() / people.map_size + TORSO_OFFSET_TILES * (2 * people.torso_offset.numpy() - 1)
                torso_px = boxes[tile][:, [1, 0]] + side[:, None] / 2 + turned((torso - 0.5) * side[:, None], lean_rad[tile])
                length = people.hvip_length.numpy() * HVIP_REACH / 2 * side
                found.append((torso_px, length / TORSO_HEIGHT_M, people.score.numpy(), lean_rad[tile]))
        return Candidates(*(np.concatenate(field) for field in zip(*found, strict=True)))

    def look(self, image: GigapixelImage, candidates: Candidates, describe: str) -> Look:
        """Keypoints of every candidate, seen once."""
        looks: list[Look] = []
        for windows, crops in self._crops(image, candidates, describe):
            heat, attributes = self.keypoints(crops)
            observed = observations_from_crops(decode_crop_points(heat, attributes), windows)
            looks.append(Look(observed, heat.half(), attributes))
        observations, heats, spoken = zip(*((look.observed, look.heat, look.attributes) for look in looks), strict=True)
        return Look(Observations.joined(observations), torch.cat(heats), torch.cat(spoken))

    def look_closely(self, image: GigapixelImage, candidates: Candidates, first: Look, describe: str) -> Observations:
        """Keypoints of everybody seen four times; the first time, `first`, counts as one. See `all_views`."""
        found: list[Observations] = []
        seen = 0
        for windows, crops in self._crops(image, candidates, describe):
            rows = slice(seen, seen := seen + len(crops))
            views = all_views(self.keypoints, crops, (first.heat[rows].float(), first.attributes[rows]))
            found.append(observations_from_crops(decode_crop_points(*views), windows))
        return Observations.joined(found)

    def _crops(self, image: GigapixelImage, candidates: Candidates, describe: str) -> Iterator[tuple[Windows, Tensor]]:
        """Windows around candidates and what is in them, batch by batch."""
        windows = Windows.around(candidates)
        margin = (CROP_SIZE[0] - CROP_SIZE[1]) // 2
        with tqdm(total=len(candidates), desc=describe, unit="person") as bar:
            for rows, crops in image.crops(windows.boxes, CROP_SIZE[0], BATCH, fill=114, turn_rad=windows.turn_rad):
                yield windows[rows], torch.from_numpy(np.ascontiguousarray(crops[:, :, margin : margin + CROP_SIZE[1]])).float()
                bar.update(len(rows))


@dataclass(frozen=True)
class Look(Rows):
    """What the keypoint network said of N > 0 candidates.

    Attributes:
        observed: decoded; `Observations.score` is what it says of their presence.
        heat: (N, 19, 32, 24) float16, attributes: (N, 19, 3): as of `KeypointNet`.
    """

    observed: Observations
    heat: Tensor
    attributes: Tensor


@dataclass(frozen=True)
class Windows(Rows):
    """Square windows of the image that crops are cut from, turned so that people stand upright in them.

    Attributes:
        boxes: (N, 4) top, left, bottom, right before they are turned about their middles, pixels.
        turn_rad: (N,) clockwise.
    """

    boxes: np.ndarray
    turn_rad: np.ndarray

    @classmethod
    def around(cls, candidates: Candidates) -> Windows:
        """Those that the keypoint network is shown."""
        side = np.maximum(CROP_HEIGHT_M * candidates.per_metre, 8.0)
        turn = _worth_turning(candidates.lean_rad)
        below = np.stack([np.zeros_like(side), TORSO_OFFSET_M * candidates.per_metre], 1)
        corner = candidates.torso_px + turned(below, turn) - side[:, None] / 2
        return cls.of_squares(np.c_[corner, side].round().astype(np.int64), turn)

    @classmethod
    def of_squares(cls, squares: np.ndarray, turn_rad: np.ndarray) -> Windows:
        """From (N, 3) left, top, side."""
        left, top, side = squares.T
        return cls(np.stack([top, left, top + side, left + side], 1), turn_rad)

    def to_image(self, crop_xy_px: np.ndarray) -> np.ndarray:
        """(N, K, 2) pixels of the square crops → pixels of the image."""
        side = (self.boxes[:, 2] - self.boxes[:, 0])[:, None, None]
        middle = self.boxes[:, None, [1, 0]] + side / 2
        return middle + turned((crop_xy_px / CROP_SIZE[0] - 0.5) * side, self.turn_rad[:, None])


def _worth_turning(lean_rad: np.ndarray) -> np.ndarray:
    return np.where(np.abs(lean_rad) < LEAST_TURN_RAD, 0.0, lean_rad)


def observations_from_crops(points: CropPoints, windows: Windows) -> Observations:
    """Crop pixels → pixels of the image that the `windows` refer to."""
    scale = (windows.boxes[:, 2:3] - windows.boxes[:, :1]) / CROP_SIZE[0]
    margin = [(CROP_SIZE[0] - CROP_SIZE[1]) // 2, 0]
    xy = windows.to_image(points.xy_px.numpy() + margin)
    return Observations(
        xy_px=xy[:, :TORSO],
        sigma_px=(points.sigma_px.numpy() * scale)[:, :TORSO],
        other_px=windows.to_image(points.other_xy_px.numpy() + margin)[:, :TORSO],
        other_share=points.other_share.numpy()[:, :TORSO],
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


def with_known_ground(candidates: Candidates, camera: Camera, ground: GroundPlane) -> Candidates:
    """Give each candidate scale and lean of a person who stands where his torso is seen, the scale within reason of what it looks like."""
    rays = camera.rays(candidates.torso_px)
    slope = rays @ ground.normal
    depth = (TORSO_HEIGHT_M - ground.offset_m) / np.where(slope < -1e-6, slope, np.nan)
    known = np.clip(camera.fx / depth, candidates.per_metre / SCALE_DOUBT, candidates.per_metre * SCALE_DOUBT)
    per_metre = np.where(depth > 0, known, candidates.per_metre)
    return replace(candidates, per_metre=per_metre, lean_rad=ground.lean_rad(camera, candidates.torso_px))


def certainty_features(observed: Observations, candidates: Candidates) -> np.ndarray:
    """(N, 3) what `certainty` looks at: log odds of presence, log detection score, log of the keypoints' spread over the person's size."""
    presence = np.clip(observed.score, 1e-4, 1 - 1e-4)
    relative_sigma = np.median(observed.sigma_px / person_size_px(observed.xy_px)[:, None], axis=1)
    return np.log(np.stack([presence / (1 - presence), np.clip(candidates.score, 0.05, 1.0), relative_sigma], 1))


def certainty(observed: Observations, candidates: Candidates) -> np.ndarray:
    """(N,) probability that a candidate is a person, seen once and framed well: a logistic regression (`benchmarks/certainty.py`).

    It is right for close looks; a single view knows less, and what it says is lower.

    Args:
        observed: what `EmbeddedPose` saw of N candidates.
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
