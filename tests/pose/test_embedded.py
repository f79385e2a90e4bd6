"""Whom the embedded backend looks at twice, with the shipped networks on a small synthetic crowd."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
import torch

from crowd3d.imaging import GigapixelImage
from crowd3d.model.keypoint_net import look_again
from crowd3d.pipeline.weights import DefaultWeights
from crowd3d.pose.embedded import TORSO_HEIGHT_M, WORTH_SECOND_LOOK, Candidates, EmbeddedPose, certainty
from crowd3d.settings import load_settings
from crowd3d.synthetic import Mannequin, sample_crop


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> tuple[GigapixelImage, Candidates]:
    """A picture, and candidates: everybody in it, and as many places where nobody is."""
    rng = np.random.default_rng(4)
    crop = sample_crop(rng, Mannequin.load("low"), size=512, person_px=(120, 160), empty_share=0.0)
    path = tmp_path_factory.mktemp("crowd") / "crowd.png"
    cv2.imwrite(str(path), cv2.cvtColor(crop.image, cv2.COLOR_RGB2BGR))
    torso = crop.camera.project(crop.torso_cam_m)
    per_metre = crop.camera.fx / crop.torso_cam_m[:, 2]
    places = Candidates(np.r_[torso, rng.uniform(0, 512, torso.shape)], np.r_[per_metre, per_metre[::-1] / 3], np.full(2 * len(torso), 0.5))
    assert len(torso) >= 3
    assert TORSO_HEIGHT_M * per_metre.max() > 30
    return GigapixelImage(path), places


def test_only_likely_people_are_looked_at_twice(scene: tuple[GigapixelImage, Candidates]) -> None:
    image, candidates = scene
    weights = DefaultWeights.shipped(load_settings())
    pose = EmbeddedPose(weights.detector, weights.keypoints, "torch")
    network, shown = pose.keypoints, []

    def counting(crops: torch.Tensor) -> tuple[torch.Tensor, ...]:
        shown.append(len(crops))
        return network(crops)

    pose.keypoints = counting  # type: ignore[assignment]
    once = pose.look(image, candidates, "once", twice=False)
    assert sum(shown) == len(candidates)
    likely = certainty(once, candidates) > WORTH_SECOND_LOOK
    assert 0 < likely.sum() < len(candidates)

    shown.clear()
    seen = pose.look(image, candidates, "twice", twice=True)
    assert sum(shown) == len(candidates) + 3 * likely.sum()
    np.testing.assert_array_equal(seen.xy_px[~likely], once.xy_px[~likely])

    pose.keypoints = lambda crops: look_again(network, crops, *network(crops))  # type: ignore[assignment, misc]
    everybody = pose.look(image, candidates, "all twice", twice=False)
    np.testing.assert_allclose(seen.xy_px[likely], everybody.xy_px[likely], atol=1e-3)
    np.testing.assert_allclose(seen.depth_m[likely], everybody.depth_m[likely], atol=1e-5)
