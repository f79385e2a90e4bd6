"""Two levels are found when two are there, and only then."""

import numpy as np
import pytest

from crowd3d.errors import UnsolvableGround
from crowd3d.geometry import Camera, GroundPlane
from crowd3d.ground import StaturePrior, estimate_ground, estimate_levels, find_levels
from crowd3d.ground.simulate import CONDITIONS, STANDING, random_crowd, random_view, simulate_crowd

SIZE = (19200, 6480)
CAMERA = Camera.from_fov(50.0, SIZE)


def two_levels(other_m: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """150 people 12 m below the camera and 60 people, all at one side, `other_m` below it: keypoints, level, who stands."""
    rng = np.random.default_rng(2)
    base, other = (
        simulate_crowd(CAMERA, GroundPlane.from_angles(0.25, 0.02, height), count, rng, condition=CONDITIONS["C"])
        for height, count in ((12.0, 150), (other_m, 400))
    )
    aside = np.flatnonzero(other.keypoints[:, 5, 0] < 0.35 * SIZE[0])[:60]
    kind = np.concatenate([base.kind, other.kind[aside]])
    return np.concatenate([base.keypoints, other.keypoints[aside]]), np.repeat([0, 1], [150, 60]), kind == STANDING


@pytest.mark.parametrize("other_m", [8.0, 16.5])
def test_two_levels_are_found_and_people_assigned(other_m: float) -> None:
    keypoints, level, standing = two_levels(other_m)
    found = estimate_levels(keypoints, SIZE)
    assert [estimate.ground.offset_m for estimate in found.estimates] == pytest.approx([12.0, other_m], rel=0.08)
    assert (found.level[standing] == level[standing]).mean() > 0.9
    assert (found.probability.sum(1) <= 1 + 1e-9).all()
    assert found.probability[standing & (level == 1), 1].mean() > 0.85
    first, second = found.estimates
    np.testing.assert_allclose(first.ground.normal, second.ground.normal, atol=1e-9)
    assert first.camera == second.camera
    assert second.covariance[3, 3] > first.covariance[3, 3]
    for estimate in found.estimates:
        low, high = estimate.height_range_m
        assert low < estimate.ground.offset_m / 1.4 < estimate.ground.offset_m < high, "children are possible on every level"


@pytest.mark.parametrize("other_m", [8.0, 16.5])
def test_levels_beside_a_known_ground(other_m: float) -> None:
    keypoints, level, standing = two_levels(other_m)
    found = find_levels(keypoints, CAMERA, GroundPlane.from_angles(0.25, 0.02, 12.0))
    assert found.heights_m == pytest.approx((0.0, 12.0 - other_m), abs=0.4)
    assert (found.level[standing] == level[standing]).mean() > 0.95
    assert (found.level[~standing] == level[~standing]).mean() > 0.6, "by their neighbours"

    base = np.flatnonzero(level == 0)
    assert find_levels(keypoints[base], CAMERA, GroundPlane.from_angles(0.25, 0.02, 12.0)).heights_m == (0.0,)


def test_labels_replace_the_search() -> None:
    keypoints, level, standing = two_levels(9.0)
    labels = np.where(level == 0, 7, 3)
    labels[:5] = -1
    found = estimate_levels(keypoints, SIZE, labels=labels)
    assert [estimate.ground.offset_m for estimate in found.estimates] == pytest.approx([12.0, 9.0], rel=0.08)
    assert (found.level[:5] == -1).all()
    assert (found.level[5:][standing[5:]] == level[5:][standing[5:]]).mean() > 0.9
    with pytest.raises(UnsolvableGround, match="label"):
        estimate_levels(keypoints, SIZE, labels=np.full(210, -1))


@pytest.mark.parametrize("seed", range(5))
def test_seated_people_are_no_level(seed: int) -> None:
    crowd = random_crowd(np.random.default_rng(seed), CONDITIONS["D"])
    assert len(estimate_levels(crowd.keypoints, SIZE).estimates) == 1


@pytest.mark.parametrize("share", [0.1, 0.3])
@pytest.mark.parametrize("seed", range(3))
def test_families_are_no_level(seed: int, share: float) -> None:
    """Children look like adults further down, but they are everywhere in the picture."""
    rng = np.random.default_rng(seed)
    crowd = simulate_crowd(*random_view(rng), 150, rng, condition=CONDITIONS["C"], stature=StaturePrior(child_share=share))
    assert len(estimate_levels(crowd.keypoints, SIZE).estimates) == 1


def test_single_estimate_follows_the_larger_level() -> None:
    keypoints, level, _ = two_levels(8.0)
    estimate = estimate_ground(keypoints, SIZE)
    assert abs(estimate.ground.offset_m / 12.0 - 1.0) < 4 * np.sqrt(estimate.covariance[3, 3])
    assert estimate.inliers[level == 1].mean() < 0.2
