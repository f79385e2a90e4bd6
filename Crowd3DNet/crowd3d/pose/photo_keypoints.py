"""MoveNet on the boxes of people, likely ones seen as they are and mirrored."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from crowd3d.bodies.joints import COCO17_FLIP
from crowd3d.imaging import GigapixelImage, turned
from crowd3d.model.compiled import AUTO, Engines
from crowd3d.model.engines import Engine
from crowd3d.model.photo_nets import load_movenet
from crowd3d.pose.photo_decode import decode_keypoints
from crowd3d.pose.photo_finder import FILL, Boxes
from crowd3d.progress import progress_bar
from crowd3d.types import Rows

CROP_SIZE = (256, 192)
"""Height and width of the input; square crops bring nothing more."""
CROP_SHARE = 1.15
"""Height of a window over that of the box in it."""
ALONE_MARGIN = 0.1
"""By this share of its size a box is enlarged before everything around it is painted grey."""
BATCH = 8
SEEN_BEST = 8
WORTH_MIRRORING = 0.11
"""`promise` below which a second view is not worth its time: of 238 people in nine photographs nobody with less became a person."""
SAME_KEYPOINT = 0.06
"""Places in both views nearer than this share of the window's height are averaged, else the surer one counts."""


@dataclass(frozen=True)
class BoxKeypoints(Rows):
    """Keypoints in the boxes of N people.

    Attributes:
        xy_px: (N, 17, 2) scene pixels.
        score: (N, 17) mean heat of both views.
        other_px: (N, 17, 2) second places.
        other_score: (N, 17) their heat.
        apart_px: (N, 17) distance between what both views say.
        centre: (N,) probability of a person's centre.
    """

    xy_px: np.ndarray
    score: np.ndarray
    other_px: np.ndarray
    other_score: np.ndarray
    apart_px: np.ndarray
    centre: np.ndarray


class KeypointsInBoxes:
    """The network, loaded once.

    Args:
        weights: of MoveNet, as `crowd3d fetch people` stores them.
        engines: what runs it.
    """

    def __init__(self, weights: Path, engines: Engines = AUTO) -> None:
        self.network: Engine = engines.load(load_movenet, weights, [torch.zeros(2, 3, *CROP_SIZE)])

    def look(self, image: GigapixelImage, boxes: Boxes, describe: str, alone: bool = False) -> BoxKeypoints:
        """Keypoints of everybody; at least one box. Who is looked at `alone` is shown with everything around the box painted grey."""
        windows = _windows(boxes)
        margin = (CROP_SIZE[0] - CROP_SIZE[1]) // 2
        found: list[BoxKeypoints] = []
        with progress_bar(total=len(boxes), desc=describe, unit="person") as bar:
            for rows, crops in image.crops(windows, CROP_SIZE[0], BATCH, fill=FILL, turn_rad=boxes.lean_rad):
                images = torch.from_numpy(np.ascontiguousarray(crops[:, :, margin : margin + CROP_SIZE[1]])).permute(0, 3, 1, 2).float()
                side = (windows[rows, 2] - windows[rows, 0]).astype(np.float64)
                half = torch.from_numpy(boxes.size_px[rows] / 2 * (CROP_SIZE[0] / side)[:, None]).float()
                if alone:
                    _paint_around(images, half)
                seen = self._views(images.contiguous(), half, torch.from_numpy(boxes.score[rows]).float())
                found.append(_in_image(seen, windows[rows], side, boxes.lean_rad[rows], margin))
                bar.update(len(rows))
        return BoxKeypoints.joined(found)

    def _views(self, images: Tensor, half_px: Tensor, finder_score: Tensor) -> tuple[Tensor, ...]:
        """Each crop as it is, and likely people mirrored, too (test-time augmentation); crop pixels, as of `BoxKeypoints`."""
        xy, score, other, other_score, centre = decode_keypoints(self.network(images), half_px)
        plain = [xy, score, other, other_score, torch.zeros_like(score), centre]
        rows = (promise(finder_score, score) > WORTH_MIRRORING).nonzero()[:, 0]
        if len(rows):
            mirrored = _unmirrored(decode_keypoints(self.network(images[rows].flip(3)), half_px[rows]))
            for whole, both in zip(plain, _joined([part[rows] for part in plain], mirrored), strict=True):
                whole[rows] = both
        return tuple(plain)


def promise(finder_score: Tensor, keypoint_score: Tensor) -> Tensor:
    """(N,) score of the finder (N,) times the mean of the best keypoint scores (N, 17): what tells people from background.

    Everybody shows `SEEN_BEST` keypoints, also those whom the picture's border cuts off.
    """
    return finder_score * keypoint_score.topk(SEEN_BEST, dim=1).values.mean(1)


def _paint_around(images: Tensor, half_px: Tensor) -> None:
    """Grey over all of the crops (B, 3, h, w) but the boxes in their middles, (B, 2) half as wide and high, in place."""
    reach = (1 + ALONE_MARGIN) * half_px
    down, across = (torch.abs(torch.arange(size) + 0.5 - size / 2) for size in images.shape[2:])
    around = (across > reach[:, :1])[:, None, :] | (down > reach[:, 1:])[:, :, None]
    images.masked_fill_(around[:, None], FILL)


def _unmirrored(seen: tuple[Tensor, ...]) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Places, scores, second scores and centres of mirrored crops as the crops themselves have them."""
    xy, score, _, other_score, centre = seen
    swap = torch.from_numpy(np.asarray(COCO17_FLIP))
    back = xy[:, swap] * torch.tensor([-1.0, 1.0]) + torch.tensor([float(CROP_SIZE[1]), 0.0])
    return back, score[:, swap], other_score[:, swap], centre


def _joined(plain: list[Tensor], mirrored: tuple[Tensor, Tensor, Tensor, Tensor]) -> tuple[Tensor, ...]:
    """One answer from both views: the mean where they agree, else the surer one, with the other as second place."""
    xy, score, other, other_score, _, centre = plain
    xy2, score2, other_score2, centre2 = mirrored
    apart = (xy - xy2).norm(dim=-1)
    weight = (score / (score + score2).clamp_min(1e-6))[..., None]
    first = weight >= 0.5
    dissent = (apart >= SAME_KEYPOINT * CROP_SIZE[0])[..., None]
    share = torch.where(dissent, first.to(weight.dtype), weight)
    second = torch.where(dissent, torch.where(first, xy2, xy), other)
    second_score = torch.where(dissent[..., 0], torch.minimum(score, score2), (other_score + other_score2) / 2)
    return xy * share + xy2 * (1 - share), (score + score2) / 2, second, second_score, apart, (centre + centre2) / 2


def _windows(boxes: Boxes) -> np.ndarray:
    """(N, 4) squares as high as the windows."""
    side = CROP_SHARE * np.maximum(boxes.size_px[:, 1], boxes.size_px[:, 0] * CROP_SIZE[0] / CROP_SIZE[1])
    side = np.maximum(2 * np.round(side / 2), 8.0)
    left_top = np.round(boxes.middle_px - side[:, None] / 2)
    return np.stack([left_top[:, 1], left_top[:, 0], left_top[:, 1] + side, left_top[:, 0] + side], 1).astype(np.int64)


def _in_image(seen: tuple[Tensor, ...], windows: np.ndarray, side: np.ndarray, lean_rad: np.ndarray, margin: int) -> BoxKeypoints:
    xy, score, other, other_score, apart, centre = (part.double().numpy() for part in seen)
    scale = (side / CROP_SIZE[0])[:, None]
    middle = (windows[:, [1, 0]] + side[:, None] / 2)[:, None]

    def place(points: np.ndarray) -> np.ndarray:
        return middle + turned((points + [margin, 0] - CROP_SIZE[0] / 2) * scale[:, None], lean_rad[:, None])

    return BoxKeypoints(place(xy), score, place(other), other_score, apart * scale, centre)
