"""A second opinion as one more term, and GeoCalib's answers through a stand-in for its package."""

from __future__ import annotations

import sys
import types

import numpy as np
import pytest
import torch

from crowd3d.errors import BackendFailed, BadConfig, MissingAsset
from crowd3d.geometry import Camera, GroundPlane
from crowd3d.ground import Knowns, Opinion, estimate_ground
from crowd3d.ground.geocalib import GeoCalibOpinion
from crowd3d.ground.opinion import OpinionEvidence
from crowd3d.ground.simulate import simulate_crowd

SIZE = (4000, 2000)
CAMERA, GROUND = Camera.from_focal(3500.0, SIZE), GroundPlane.from_angles(0.3, 0.03, 6.0)


def up(tilt: float, roll: float) -> tuple[float, float, float]:
    return tuple(GroundPlane.from_angles(tilt, roll, 1.0).normal.tolist())  # type: ignore[return-value]


def test_the_term_is_highest_at_the_opinion_and_normal_near_it():
    opinion = Opinion(3000.0, up(0.2, -0.1), focal_sigma=0.1, up_sigma_rad=0.02)
    term = OpinionEvidence.of(opinion, 4000.0)
    best = np.array([np.log(3000 / 4000), 0.2, -0.1, 1.0, -3.0, 0.0])
    assert term.log_density(best[None])[0] == pytest.approx(0.0, abs=1e-12)
    for place, sigma in ((0, 0.1), (1, 0.02), (2, 0.02)):
        one, far = best.copy(), best.copy()
        one[place] += 0.1 * sigma
        far[place] += 50 * sigma
        assert term.log_density(one[None])[0] == pytest.approx(-0.5 * 0.01 * 7 / 4, rel=0.01)
        assert term.log_density(far[None])[0] > -25
    turned = best.copy()
    turned[2] += 2 * np.pi
    assert term.log_density(turned[None])[0] == pytest.approx(0.0, abs=1e-9)
    only_up = OpinionEvidence.of(Opinion(up_cam=up(0.2, -0.1)), 4000.0)
    assert (only_up.log_density(np.stack([best, best + np.eye(6)[0]])) == 0).all()


def test_a_good_opinion_sharpens_few_people_and_a_wrong_one_gives_way_to_many():
    few = simulate_crowd(CAMERA, GROUND, 6, np.random.default_rng(2)).keypoints
    plain = estimate_ground(few, SIZE)
    told = estimate_ground(few, SIZE, knowns=Knowns(opinion=Opinion(3500.0, up(0.3, 0.03), focal_sigma=0.05, up_sigma_rad=0.01)))
    assert (np.diag(told.covariance)[:3] < np.diag(plain.covariance)[:3]).all()
    assert abs(np.log(told.camera.fx / 3500)) < 0.1
    many = simulate_crowd(CAMERA, GROUND, 300, np.random.default_rng(3)).keypoints
    alone = estimate_ground(many, SIZE)
    wrong = estimate_ground(many, SIZE, knowns=Knowns(opinion=Opinion(7000.0, up(0.7, 0.3), focal_sigma=0.02, up_sigma_rad=0.01)))
    assert abs(np.log(wrong.camera.fx / alone.camera.fx)) < 2 * np.sqrt(alone.covariance[0, 0])
    assert abs(wrong.ground.tilt_rad - alone.ground.tilt_rad) < 2 * np.sqrt(alone.covariance[1, 1])


def test_an_exact_direction_is_kept():
    people = simulate_crowd(CAMERA, GROUND, 40, np.random.default_rng(4)).keypoints
    found = estimate_ground(people, SIZE, camera=CAMERA, knowns=Knowns(tilt_rad=0.3, roll_rad=0.03))
    assert (found.ground.tilt_rad, found.ground.roll_rad) == pytest.approx((0.3, 0.03))
    assert (np.diag(found.covariance)[:3] == 0).all()
    assert found.ground.offset_m == pytest.approx(6.0, rel=0.05)


@pytest.mark.parametrize(
    "values",
    [{}, {"focal_px": -1.0}, {"focal_px": float("nan")}, {"up_cam": (0.0, 0.0, 0.0)}, {"up_cam": (0.0, 1.0, 0.0)},
     {"focal_px": 5.0, "focal_sigma": 0.0}, {"focal_px": 5.0, "covariance": ((1.0, 0.0, 0.0), (0.0, -1.0, 0.0), (0.0, 0.0, 1.0))}],
)  # fmt: skip
def test_impossible_opinions_are_refused(values):
    with pytest.raises(BadConfig):
        Opinion(**values)


class StandIn(torch.nn.Module):
    """What the documented interface of geocalib's `GeoCalib` gives."""

    def calibrate(self, img: torch.Tensor, camera_model: str = "pinhole", priors=None):
        assert img.shape[0] == 3
        assert img.dtype == torch.float32
        assert 0 <= img.min() <= img.max() <= 1
        height, width = img.shape[1:]
        camera = types.SimpleNamespace(f=torch.tensor([[0.9 * width, 0.9 * width]]), size=torch.tensor([[width, height]]))
        roll, pitch = torch.tensor(-0.03), torch.tensor(-0.3)  # its roll is to the other side, its pitch positive when looking up
        vector = torch.stack([-roll.sin() * pitch.cos(), -roll.cos() * pitch.cos(), pitch.sin()])[None]
        spread = {"focal": 0.9 * width * 0.08, "roll": 0.001, "pitch": 0.03, "gravity": 0.03, "vfov": 0.02}
        uncertainty = {f"{key}_uncertainty": torch.tensor([value]) for key, value in spread.items()}
        return {"camera": camera, "gravity": types.SimpleNamespace(vec3d=vector), "covariance": torch.eye(3)[None], **uncertainty}


def test_geocalib(monkeypatch):
    package = types.ModuleType("geocalib")
    package.GeoCalib = StandIn
    monkeypatch.setitem(sys.modules, "geocalib", package)
    opinion = GeoCalibOpinion()(np.full((1000, 2000, 3), 200, np.uint8))
    assert opinion.focal_px == pytest.approx(1800.0)
    assert opinion.mean[1:] == pytest.approx([0.3, 0.03])
    assert opinion.focal_sigma == pytest.approx(0.08)
    assert opinion.up_sigma_rad == pytest.approx(np.hypot(0.001, 0.03) / np.sqrt(2))


def test_geocalib_that_is_absent_or_fails(monkeypatch):
    monkeypatch.setitem(sys.modules, "geocalib", None)
    with pytest.raises(MissingAsset, match="pip install"):
        GeoCalibOpinion()
    package = types.ModuleType("geocalib")

    def broken():
        raise OSError("no route to host")

    package.GeoCalib = broken
    monkeypatch.setitem(sys.modules, "geocalib", package)
    with pytest.raises(BackendFailed, match="no route"):
        GeoCalibOpinion()(np.zeros((10, 10, 3), np.uint8))
