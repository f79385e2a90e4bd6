"""Figures of the validation, with a network that knows the truth."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from made_up_samples import made_up_sample
from torch import nn

from crowd3d.bodies import load_body
from crowd3d.model import Maps
from crowd3d.training.supervision import Batch, collate
from crowd3d.training.validation import figures, picture


class Oracle(nn.Module):
    """Predicts the given centres and nothing else that is right; head numbers are constant."""

    def __init__(self, center_map: torch.Tensor) -> None:
        super().__init__()
        self.center_map = nn.Parameter(center_map)

    def forward(self, *_: torch.Tensor) -> Maps:
        size = self.center_map.shape[-1]
        numbers = torch.full((148,), 0.5)
        numbers[6:138] = torch.tensor([1.0, 0, 0, 1, 0, 0]).repeat(22)
        numbers[138:] = 0.0
        return Maps(numbers[None, :, None, None].expand(len(self.center_map), 148, size, size), self.center_map)


@pytest.fixture
def batch() -> Batch:
    """Two tiles of 256², with people far enough apart to be told from each other."""
    samples = []
    for seed, people in ((1, 3), (2, 2)):
        sample = made_up_sample(seed, size=256, people=people)
        cells = np.array([[6, 6], [22, 8], [14, 25]])[:people]
        center_map = np.zeros((1, 32, 32), np.float32)
        center_map[0, cells[:, 1], cells[:, 0]] = 1.0
        centers = sample.person_centers.copy()
        centers[:people] = (cells + 0.5) / 16 - 1
        samples.append(sample._replace(center_map=center_map, person_centers=centers))
    return collate(samples)


@torch.no_grad()
def test_centres_are_counted_one_to_one(batch: Batch) -> None:
    body = load_body("free_low")
    perfect = figures(Oracle(batch.center_map.clone()), [batch], body, 0.2)
    assert (perfect["precision"], perfect["recall"], perfect["f1"]) == (1.0, 1.0, pytest.approx(1.0))
    worse = batch.center_map.clone()
    worse[0, 0, 6, 6] = 0.0  # one missed
    worse[1, 0, 28, 28] = worse[1, 0, 3, 28] = 1.0  # two where nobody is
    found = figures(Oracle(worse), [batch], body, 0.2)
    assert (found["precision"], found["recall"]) == (pytest.approx(4 / 6), pytest.approx(4 / 5))
    excused = batch._replace(counted=batch.counted.clone())
    excused.counted[1, 0, 28, 28] = False
    assert figures(Oracle(worse), [excused], body, 0.2)["precision"] == pytest.approx(4 / 5)
    nobody = figures(Oracle(torch.zeros_like(worse)), [batch], body, 0.2)
    assert (nobody["f1"], nobody["score"]) == (0.0, 0.0)


@torch.no_grad()
def test_joints_that_are_right_have_no_error(batch: Batch) -> None:
    body = load_body("free_low")
    upright = body.forward(torch.zeros(1, 24, 3), torch.zeros(1, 10)).joints54[0]
    truth = batch._replace(joints_cam_m=(1.1 * upright + 3.0).expand_as(batch.joints_cam_m).clone())
    assert figures(Oracle(batch.center_map.clone()), [truth], body, 0.2)["pa_mpjpe_mm"] == pytest.approx(0.0, abs=1e-3)
    bent = upright.clone()
    bent[20] += torch.tensor([0.24, 0.0, 0.0])
    bent_error = figures(
        Oracle(batch.center_map.clone()), [batch._replace(joints_cam_m=bent.expand_as(batch.joints_cam_m).clone())], body, 0.2
    )["pa_mpjpe_mm"]
    assert 5.0 < bent_error < 30.0


@torch.no_grad()
def test_the_picture_marks_and_leaves_the_tiles_as_they_are(batch: Batch) -> None:
    before = batch.images.clone()
    shown = picture(Oracle(batch.center_map.clone()), batch, 0.2)
    assert shown.shape == (256, 512, 3)
    assert torch.equal(batch.images, before)
    x, y = 6.5 * 8, 6.5 * 8
    assert (shown[int(y), int(x)] == [255, 50, 50]).all()
