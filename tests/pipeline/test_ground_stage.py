"""What the ground stage assumes about the people it sees, against posed bodies."""

import numpy as np
import pytest

from crowd3d.bodies import COCO17_FROM_SMPL54, load_body
from crowd3d.pipeline.ground import EMBEDDED
from crowd3d.synthetic.mannequin import Mannequin
from crowd3d.synthetic.people import sample_betas
from crowd3d.synthetic.poses import sample_poses

PEOPLE = 500


@pytest.mark.parametrize(("joint", "left"), [("ankle", 15), ("knee", 13), ("hip", 11), ("shoulder", 5), ("eye", 1)])
def test_embedded_proportions_are_those_of_the_bodies_that_the_networks_learned_from(joint, left):
    rng = np.random.default_rng(11)
    body, skeleton = Mannequin.load("low"), load_body("free_low").restrict()
    pose, betas = sample_poses(rng, np.repeat(["walk", "stand"], PEOPLE // 2)), sample_betas(rng, PEOPLE)
    soles = body.pose(pose, betas)[0][..., 1].min(1)
    keypoints = skeleton.pose(pose, betas)[1][:, COCO17_FROM_SMPL54, 1]
    heights = (keypoints[:, left : left + 2].mean(1) - soles) / load_body("free_low").stature_m(betas)
    assert getattr(EMBEDDED, joint) == pytest.approx(heights.mean(), abs=0.006)
