"""The project's keypoint network on windows around candidates."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from crowd3d.imaging import GigapixelImage
from crowd3d.model.compiled import AUTO, Engines
from crowd3d.model.crop_points import CROP_SIZE, HVIP, TORSO, CropPoints, all_views, decode_crop_points
from crowd3d.model.engines import Engine
from crowd3d.pose.candidates import Candidates, Windows
from crowd3d.pose.observations import Observations
from crowd3d.pose.source import Source
from crowd3d.progress import progress_bar
from crowd3d.types import Rows

if TYPE_CHECKING:
    from crowd3d.model.keypoint_net import KeypointNet

BATCH = 16
FILL = 114
"""Grey outside of the picture."""


@dataclass(frozen=True)
class Look(Rows):
    """What the keypoint network said of N > 0 candidates.

    Attributes:
        observed: decoded; `Observations.score` is what it says of their presence.
        heat: (N, 19, 32, 24), attributes: (N, 19, 3): as of `KeypointNet`.
    """

    observed: Observations
    heat: np.ndarray
    attributes: np.ndarray


def _read(weights: Path) -> KeypointNet:
    from crowd3d.model.keypoint_net import load_keypoint_net

    return load_keypoint_net(weights)


class CropLooks:
    """The keypoint network, loaded once.

    Args:
        weights: of a `KeypointNet`.
        source: what the measurements are said to come from.
        engines: what runs it.
    """

    def __init__(self, weights: Path, source: Source, engines: Engines = AUTO) -> None:
        self.keypoints: Engine = engines.load(_read, weights, [np.zeros((2, *CROP_SIZE, 3), np.uint8)], "bf16")
        self.source = source

    def observe(self, image: GigapixelImage, candidates: Candidates, describe: str) -> Observations:
        """Keypoints of every candidate, seen once; at least one candidate."""
        return Observations.joined([look.observed for look in self._looks(image, candidates, describe)])

    def look(self, image: GigapixelImage, candidates: Candidates, describe: str) -> Look:
        """The same with what the network said, for `look_closely`."""
        looks = [Look(look.observed, look.heat.astype(np.float16), look.attributes) for look in self._looks(image, candidates, describe)]
        observations, heats, spoken = zip(*((look.observed, look.heat, look.attributes) for look in looks), strict=True)
        return Look(Observations.joined(observations), np.concatenate(heats), np.concatenate(spoken))

    def look_closely(self, image: GigapixelImage, candidates: Candidates, first: Look, describe: str) -> Observations:
        """Keypoints of everybody seen four times (test-time augmentation); the first time, `first`, counts as one. See `all_views`."""
        found: list[Observations] = []
        seen = 0
        for windows, crops in self._crops(image, candidates, describe):
            rows = slice(seen, seen := seen + len(crops))
            views = all_views(self.keypoints, crops, (first.heat[rows].astype(np.float32), first.attributes[rows]))
            found.append(observations_from_crops(decode_crop_points(*views), windows, self.source))
        return Observations.joined(found)

    def _looks(self, image: GigapixelImage, candidates: Candidates, describe: str) -> Iterator[Look]:
        """Batch by batch, heat in float32."""
        for windows, crops in self._crops(image, candidates, describe):
            heat, attributes = self.keypoints(crops)
            yield Look(observations_from_crops(decode_crop_points(heat, attributes), windows, self.source), heat, attributes)

    def _crops(self, image: GigapixelImage, candidates: Candidates, describe: str) -> Iterator[tuple[Windows, np.ndarray]]:
        """Windows around candidates and what is in them, batch by batch."""
        windows = Windows.around(candidates)
        margin = (CROP_SIZE[0] - CROP_SIZE[1]) // 2
        with progress_bar(total=len(candidates), desc=describe, unit="person") as bar:
            for rows, crops in image.crops(windows.boxes, CROP_SIZE[0], BATCH, fill=FILL, turn_rad=windows.turn_rad):
                yield windows[rows], crops[:, :, margin : margin + CROP_SIZE[1]]
                bar.update(len(rows))


def observations_from_crops(points: CropPoints, windows: Windows, source: Source) -> Observations:
    """Crop pixels → pixels of the image that the `windows` refer to."""
    scale = (windows.boxes[:, 2:3] - windows.boxes[:, :1]) / CROP_SIZE[0]
    margin = [(CROP_SIZE[0] - CROP_SIZE[1]) // 2, 0]
    xy = windows.to_image(points.xy_px + margin)
    return Observations(
        xy_px=xy[:, :TORSO],
        sigma_px=(points.sigma_px * scale)[:, :TORSO],
        other_px=windows.to_image(points.other_xy_px + margin)[:, :TORSO],
        other_share=points.other_share[:, :TORSO],
        visible=points.visible[:, :TORSO],
        depth_m=points.depth_m[:, :TORSO],
        depth_sigma_m=points.depth_sigma_m[:, :TORSO],
        hvip_px=xy[:, HVIP],
        score=points.visible[:, TORSO],
        source=source,
    )
