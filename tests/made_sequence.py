"""A result folder of a sequence as ``crowd3d reconstruct`` leaves it, of people whose ways and poses are known."""

from __future__ import annotations

import csv
import dataclasses
import json
from pathlib import Path

import numpy as np
from scipy.spatial.transform import Rotation

from crowd3d.bodies import load_body
from crowd3d.geometry import Camera, GroundPlane
from crowd3d.scene.paths import TRAJECTORY_COLUMNS
from crowd3d.types import People, Scene

CAMERA, GROUND = Camera.from_focal(1500.0, (2400, 1600)), GroundPlane.from_angles(0.4, 0.02, 7.0)
COVARIANCE = np.diag([0.01, 0.004, 0.003, 0.02]) ** 2
PICTURES, STEP_S = 7, 0.5
PACE_M_S = np.array([[1.2, 0.0], [-1.0, 0.1], [0.0, 0.0], [0.2, 1.1]])
START_M = np.array([[-2.0, 12.0], [2.0, 13.0], [1.0, 15.0], [-1.0, 10.0]])
"""Right and ahead."""
GONE = {(0, 1), (5, 3), (6, 3)}
"""Picture and person who is not seen there."""


def places(picture: int) -> np.ndarray:
    """(4, 2) true metres right and ahead."""
    return START_M + picture * STEP_S * PACE_M_S


def scene_at(picture: int) -> tuple[Scene, np.ndarray]:
    """Everybody in sight, in random poses, and their ids."""
    rng = np.random.default_rng(picture)
    ids = np.array([person for person in range(4) if (picture, person) not in GONE])
    spots = places(picture)[ids]
    feet = GROUND.from_world(np.column_stack([spots[:, 0], np.zeros(len(ids)), -spots[:, 1]]))
    pose = rng.normal(0.0, 0.3, (len(ids), 24, 3))
    heading = np.arctan2(PACE_M_S[ids, 0], -PACE_M_S[ids, 1])
    upright = Rotation.from_rotvec(heading[:, None] * (0.0, 1.0, 0.0)).as_matrix()
    pose[:, 0] = Rotation.from_matrix(GROUND.rotation_cam_world @ upright).as_rotvec()
    keypoints = np.concatenate([CAMERA.project(feet)[:, None] - rng.uniform(5, 80, (len(ids), 17, 2)), np.ones((len(ids), 17, 1))], -1)
    keypoints[:, 3, 2] = 0.0
    people = People(
        pose.astype(np.float32),
        np.repeat(np.linspace(-1, 1, 4)[ids, None], 10, 1).astype(np.float32),
        feet + 1.0 * GROUND.normal,
        CAMERA.project(feet),
        feet,
        np.full(len(ids), 0.9),
        keypoints,
    )
    return Scene(CAMERA, GROUND, people, "free_low", f"plaza_{picture}.jpg", COVARIANCE), ids


def mesh_of(picture: int, id_: int) -> np.ndarray:
    """(V, 3) somebody's true mesh in the upright world."""
    scene, ids = scene_at(picture)
    return scene.ground.to_world(scene.people.vertices_cam_m(body())[int(np.flatnonzero(ids == id_)[0])])


def write_sequence(folder: Path) -> Path:
    """Write the folder; returns it."""
    rows = []
    for picture in range(PICTURES):
        scene, ids = scene_at(picture)
        scene.save(folder / "frames" / f"plaza_{picture}")
        for person, id_ in enumerate(ids):
            x, ahead = places(picture)[id_]
            speed = float(np.hypot(*PACE_M_S[id_]))
            rows.append([picture, scene.image, picture * STEP_S, id_, person, x, -ahead, x, -ahead, speed, 0.9, 0.1, 0.1])
    with (folder / "trajectories.csv").open("w", newline="") as file:
        csv.writer(file).writerows([TRAJECTORY_COLUMNS, *rows])
    world = {"camera": dataclasses.asdict(CAMERA), "ground": GROUND.coefficients.tolist(), "covariance": COVARIANCE.tolist()}
    (folder / "camera_ground.json").write_text(json.dumps({**world, "weak": "", "assumption": "adults of 1.70 m"}))
    return folder


def body():
    """Of the scenes."""
    return load_body("free_low")
