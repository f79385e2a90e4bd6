"""What a network says that knows the truth, so that labels, decoding, lifting, body and losses can be tested together."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from crowd3d.geometry.hvip import foot_directions
from crowd3d.geometry.rotations import matrix_to_rot6d
from crowd3d.model import Maps
from crowd3d.model.place_maps import HVIP_REACH, TORSO_OFFSET_TILES
from crowd3d.training.supervision import Batch, Label, Sample, collate


def one_by_one(sample: Sample) -> Batch:
    """A batch with one tile for everybody in the sample whose torso centre and HVIP the network's numbers can express."""
    side = sample.center_map.shape[-1]
    cell = np.floor((sample.person_centers + 1) / 2 * side)
    offset = (sample.torso + 1) / 2 - cell / side
    length = np.linalg.norm(sample.hvip - sample.torso, axis=1)
    good = sample.masks[:, [Label.PRESENT, Label.HVIP, Label.TORSO]].all(1)
    good &= (np.abs(offset) < TORSO_OFFSET_TILES).all(1) & (length < HVIP_REACH)
    samples = []
    for row in np.flatnonzero(good):
        masks = sample.masks & (np.arange(len(sample.masks)) == row)[:, None]
        samples.append(sample._replace(masks=masks))
    return collate(samples)


def perfect_maps(batch: Batch) -> Maps:
    """Maps of a batch with one person per tile, as from `one_by_one`; float64."""
    side = batch.center_map.shape[-1]
    image, person = batch.known(Label.PRESENT).nonzero(as_tuple=True)

    def of(field: Tensor) -> Tensor:
        return field[image, person].double()

    cell = ((of(batch.person_centers) + 1) / 2 * side).long()
    torso, views = of(batch.torso), batch.views[image]
    direction, _ = foot_directions(views.to_scene_px(torso), views.K, views.planes)
    numbers = torch.full((len(image), 148), 0.5, dtype=torch.float64)
    numbers[:, 0] = ((of(batch.hvip) - torso) * direction).sum(1) / HVIP_REACH
    numbers[:, 1:3] = (((torso + 1) / 2 - cell / side) / TORSO_OFFSET_TILES + 1) / 2
    numbers[:, 6:138] = matrix_to_rot6d(of(batch.rotations)).flatten(1)
    numbers[:, 138:] = of(batch.betas)
    params = torch.zeros(len(image), 148, side, side, dtype=torch.float64)
    params[torch.arange(len(image)), :, cell[:, 1], cell[:, 0]] = numbers
    center = torch.zeros(len(image), 1, side, side, dtype=torch.float64)
    center[torch.arange(len(image)), 0, cell[:, 1], cell[:, 0]] = 1
    return Maps(params, center)
