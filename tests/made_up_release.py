"""A checkpoint in the released layout that gives bodies like people: random features, calm heads, the free body in SMPL's arrays."""

from __future__ import annotations

from importlib import resources

import numpy as np
import torch
from released_layout import SMPL_PREFIX, released_layout, seeded_array

from crowd3d.bodies.joints import SMPL_EXTRA_VERTEX_IDS

SMPL_VERTICES, SMPL_FACES = 6890, 13776
HEAD_SPREAD = 0.01
"""How far random features move pose and shape from those of somebody who stands upright."""
CENTRE_LEVEL = -11.8
"""Added to the random centre map, so that few of its peaks pass for people."""


def calm_entries() -> dict[str, torch.Tensor]:
    """Entries, by bare keys, that replace random ones of the layout: SMPL arrays, and the last layers of the first two heads."""
    shapes = {key: shape for key, (shape, _) in released_layout().items()}
    identity = np.tile([1.0, 0.0, 0.0, 1.0, 0.0, 0.0], 22)
    identity[3] = -1.0  # upright in a camera frame whose y axis points down
    weight, centre = "final_layers.1.2.weight", "final_layers.2.2.bias"
    return {
        **{SMPL_PREFIX + name: torch.from_numpy(array) for name, array in _smpl_arrays().items()},
        weight: torch.from_numpy(HEAD_SPREAD * seeded_array(weight, shapes[weight])),
        "final_layers.1.2.bias": torch.from_numpy(np.concatenate([np.zeros(3), identity, np.zeros(10)]).astype(np.float32)),
        centre: torch.full(shapes[centre], CENTRE_LEVEL),
    }


def _smpl_arrays() -> dict[str, np.ndarray]:
    """The free body's coarse mesh in SMPL's number of vertices and triangles: the rest of both is one point."""
    with resources.as_file(resources.files("crowd3d.bodies") / "data" / "free_body_low.npz") as path, np.load(path) as stored:
        free = dict(stored)
    count, extra = len(free["v_template"]), np.array(SMPL_EXTRA_VERTEX_IDS)
    home = np.setdiff1d(np.arange(SMPL_VERTICES), extra)[:count]
    source = np.zeros(SMPL_VERTICES, np.int64)
    source[home], source[extra] = np.arange(count), free["extra_vertex_ids"]
    faces = np.full((SMPL_FACES, 3), home[0])
    faces[: len(free["f"])] = home[free["f"]]

    def spread(regressor: np.ndarray) -> np.ndarray:
        wide = np.zeros((len(regressor), SMPL_VERTICES), np.float32)
        wide[:, home] = regressor
        return wide

    return {
        "v_template": free["v_template"][source].astype(np.float32),
        "shapedirs": free["shapedirs"][source].astype(np.float32),
        "posedirs": np.zeros((207, 3 * SMPL_VERTICES), np.float32),
        "J_regressor": spread(free["J_regressor"]),
        "J_regressor_extra9": spread(free["J_regressor_extra9"]),
        "J_regressor_h36m17": spread(free["J_regressor_h36m17"]),
        "lbs_weights": free["weights"][source].astype(np.float32),
        "faces_tensor": faces,
        "vertex_joint_selector.extra_joints_idxs": extra,
    }
