"""Builds the free body that ships with the package from MakeHuman's CC0 data, as packed by ``anny`` (build time only).

``python -m crowd3d.bodies.build_free_body --output DIR`` in an environment that has ``anny`` beside this project's requirements.

The statures of adults are those of `crowd3d.bodies.population.ADULT_STATURE_M`. Joints are the heads of MakeHuman's bones, except
`MESH_JOINTS`: they keep their place relative to the mesh.
"""

from __future__ import annotations

import argparse
import logging
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from scipy.spatial import cKDTree
from scipy.spatial.distance import cdist

from crowd3d.bodies.free_body_fit import (
    LinearShape,
    random_rotations,
    regressor,
    shape_mixing,
    sigma_betas,
    skin,
    t_pose_rotations,
)
from crowd3d.bodies.joints import EXTRA_VERTEX_NAMES, SMPL_PARENTS
from crowd3d.bodies.population import ADULT_STATURE_M, YOUTH_AXIS, YOUTH_M
from crowd3d.files import write_npz

logger = logging.getLogger(__name__)

MEN_STATURE_M = (1.756, 0.069)
WOMEN_STATURE_M = (1.629, 0.064)
CHILD_STATURE_M = (0.85, 1.5)
ADULTS, CHILDREN = 400, 80
TOPOLOGIES = {"free_body_high": ("notoes", 400), "free_body_low": ("notoes_collapse10pc", 120)}
JOINT_TOLERANCE_M = 0.002
POINT_TOLERANCE_M = 0.003
# stature at which MakeHuman's average adult is neither stretched nor shrunk; there, rig and mesh fit each other
REFERENCE_STATURE_M = 1.838
# hips, knees, spine3, neck, collars, shoulders: away from the reference the rig's joints drift up to centimetres from the mesh
MESH_JOINTS = [1, 2, 4, 5, 9, 12, 13, 14, 16, 17]

# MakeHuman bone whose head is the joint; the pelvis (0) is derived from hips and spine
JOINT_BONES = (
    ("upperleg01.L", "upperleg01.R", "spine04", "lowerleg01.L", "lowerleg01.R", "spine03", "foot.L", "foot.R", "spine02")
    + ("toe2-1.L", "toe2-1.R", "neck01", "clavicle.L", "clavicle.R", "head", "upperarm01.L", "upperarm01.R")
    + ("lowerarm01.L", "lowerarm01.R", "wrist.L", "wrist.R", "finger3-1.L", "finger3-1.R")
)
# joints (left or middle, right) that take over the skinning weights of all bones with a prefix
BONE_OWNERS = {
    "root": (0, 0),
    "pelvis": (0, 0),
    "upperleg": (1, 2),
    "lowerleg": (4, 5),
    "foot": (7, 8),
    "toe": (10, 11),
    "spine05": (0, 0),
    "spine04": (3, 3),
    "spine03": (6, 6),
    "spine02": (9, 9),
    "spine01": (9, 9),
    "clavicle": (13, 14),
    "shoulder": (13, 14),
    "upperarm": (16, 17),
    "lowerarm": (18, 19),
    "wrist": (20, 21),
    "metacarpal": (20, 21),
    "finger": (22, 23),
    "neck": (12, 12),
    "head": (15, 15),
    "eye": (15, 15),
}


@dataclass(frozen=True)
class Meshes:
    """Meshes of many phenotypes in T-pose, pelvis joint at the origin, y up, facing z, metres.

    Attributes:
        vertices: (S, V, 3).
        joints: (S, 24, 3).
        eyes: (S, 2, 3) centres of the left and the right eye.
        weights: (V, 24) skinning weights.
        tips: (V, 10) skinning weights of the last phalanges, left thumb…pinky, right thumb…pinky.
        faces: (F, 3).
    """

    vertices: np.ndarray
    joints: np.ndarray
    eyes: np.ndarray
    weights: np.ndarray
    tips: np.ndarray
    faces: np.ndarray


def stature(vertices: np.ndarray) -> np.ndarray:
    """(..., V, 3) upright barefoot meshes → (...) metres."""
    return np.ptp(vertices[..., 1], axis=-1)


def draw_phenotypes(rng: np.random.Generator) -> tuple[dict[str, np.ndarray], np.ndarray]:
    """MakeHuman macro parameters of adults, children and one reference body, and the stature that each shall have."""
    woman = rng.permutation(np.arange(ADULTS) % 2)
    spread = rng.normal(size=ADULTS)
    adult_stature = np.where(woman, WOMEN_STATURE_M[0] + WOMEN_STATURE_M[1] * spread, MEN_STATURE_M[0] + MEN_STATURE_M[1] * spread)
    child_stature = rng.uniform(*CHILD_STATURE_M, CHILDREN)
    total = ADULTS + CHILDREN
    reference = {"gender": 0.5, "age": 0.667, "muscle": 0.5, "weight": 0.5, "proportions": 0.5}
    phenotypes = {
        "gender": np.concatenate([np.clip(woman + rng.normal(0, 0.1, ADULTS), 0, 1), rng.uniform(0.2, 0.8, CHILDREN)]),
        # ages in MakeHuman's units: 0 = 1 year (0.66 m), 1/3 = 11 years (1.41 m), 2/3 = 25 years, 1 = 90 years
        "age": np.concatenate([np.clip(0.667 + np.abs(rng.normal(0, 0.12, ADULTS)), 0, 0.95), (child_stature - 0.664) / 0.75 / 3]),
        "muscle": rng.beta(3, 3, total),
        "weight": rng.beta(3, 3, total),
        "proportions": rng.beta(4, 4, total),
    }
    phenotypes = {name: np.append(values, reference[name]) for name, values in phenotypes.items()}
    return phenotypes, np.concatenate([adult_stature, child_stature, [REFERENCE_STATURE_M]])


def rest_shapes(model: Any, phenotypes: dict[str, np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    """Rest vertices (S, V, 3) and bone heads (S, B, 3) of anny, turned to y up, facing z."""
    import torch

    parts = []
    count = len(phenotypes["age"])
    for start in range(0, count, 40):
        chosen = {name: torch.tensor(values[start : start + 40], dtype=torch.float32) for name, values in phenotypes.items()}
        rest = torch.eye(4).repeat(len(chosen["age"]), model.bone_count, 1, 1)
        with torch.no_grad():
            output = model(pose_parameters=rest, phenotype_kwargs=chosen)
        parts.append([output[key].double().numpy() for key in ("rest_vertices", "rest_bone_heads")])
    vertices, heads = (np.concatenate(part) for part in zip(*parts, strict=True))
    turn = np.array([[1.0, 0, 0], [0, 0, -1], [0, 1, 0]])
    return vertices @ turn, heads @ turn


def carried_by_mesh(vertices: np.ndarray, joints: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """(S, J, 3) `MESH_JOINTS` placed relative to their seams in the mesh as on the last sample, in proportion to stature.

    The seam of a joint is where the skinning weights of the joint and of its parent overlap.
    """
    seam = weights[:, MESH_JOINTS] * weights[:, SMPL_PARENTS[MESH_JOINTS]]
    centres = np.einsum("vj,svc->sjc", seam / seam.sum(0), vertices)
    heights = stature(vertices)
    return centres + (heights / heights[-1])[:, None, None] * (joints[-1, MESH_JOINTS] - centres[-1])


def sample(topology: str) -> Meshes:
    """Everybody of `draw_phenotypes` as a T-posed mesh of one anny topology."""
    import anny
    import torch

    model = anny.Anny(topology=topology).to(dtype=torch.float32)
    phenotypes, wanted = draw_phenotypes(np.random.default_rng(1))
    # stature is linear in MakeHuman's height parameter between its two ends, up to a scaling below 1 %
    low, high = (stature(rest_shapes(model, phenotypes | {"height": np.full(len(wanted), end)})[0]) for end in (0.0, 1.0))
    vertices, heads = rest_shapes(model, phenotypes | {"height": np.clip((wanted - low) / (high - low), 0, 1)})
    scale = (wanted / stature(vertices))[:, None, None]
    logger.info("%s: residual scaling %.3f to %.3f", topology, scale.min(), scale.max())
    vertices, heads = vertices * scale, heads * scale

    bones = list(model.bone_labels)
    bone_weights = np.zeros((vertices.shape[1], len(bones)))
    np.add.at(bone_weights, (np.arange(len(bone_weights))[:, None], model.vertex_bone_indices.numpy()), model.vertex_bone_weights.numpy())
    weights = np.zeros((len(bone_weights), 24))
    for index, bone in enumerate(bones):
        owner = next(owners for prefix, owners in BONE_OWNERS.items() if bone.startswith(prefix))
        weights[:, owner[bone.endswith(".R")]] += bone_weights[:, index]
    weights /= weights.sum(1, keepdims=True)

    joints = np.zeros((len(wanted), 24, 3))
    joints[:, 1:] = heads[:, [bones.index(bone) for bone in JOINT_BONES]]
    hips = joints[:, 1:3].mean(1)
    joints[:, 0] = hips + (joints[:, 3] - hips) * [0.0, 0.25, 0.5]
    eyes = heads[:, [bones.index("eye.L"), bones.index("eye.R")]]
    eyes -= joints[:, :1]  # the T-pose moves the head with the pelvis
    vertices, joints = skin(vertices, joints, weights, t_pose_rotations(joints))
    joints[:, MESH_JOINTS] = carried_by_mesh(vertices, joints, weights)
    vertices, joints, eyes = vertices[:-1], joints[:-1], eyes[:-1]
    tips = bone_weights[:, [bones.index(f"finger{finger}-3.{side}") for side in "LR" for finger in range(1, 6)]]
    return Meshes(vertices, joints, eyes, weights, tips, model.get_triangular_faces().numpy())


def landmark_points(mean: np.ndarray, eyes: np.ndarray, samples: Meshes) -> np.ndarray:
    """(21, 3) places of the extra vertices on the mean of the detailed mesh, in the order of `EXTRA_VERTEX_NAMES`."""
    x, y, z = mean.T
    part = samples.weights.argmax(1)
    head = part == 15
    eye_y = eyes[:, 1].mean()

    def extreme(mask: np.ndarray, score: np.ndarray) -> np.ndarray:
        return mean[np.flatnonzero(mask)[score[mask].argmax()]]

    points = {"nose": extreme(head & (np.abs(x) < 0.02) & (y < eye_y) & (y > eye_y - 0.07), z)}
    for index, (side, outward) in enumerate((("left", x), ("right", -x))):
        points[f"{side}_eye"] = eyes[index] + [0, 0, 0.012]
        beside = head & (np.abs(y - eye_y) < 0.06)
        points[f"{side}_ear"] = mean[beside & (outward > 0.92 * outward[beside].max())].mean(0)
        foot = np.isin(part, (7 + index, 10 + index))
        points[f"{side}_big_toe"] = extreme(foot, z - 0.15 * outward)
        points[f"{side}_small_toe"] = extreme(foot, 0.5 * z + outward - 0.3 * y)
        points[f"{side}_heel"] = extreme(foot & (y < y[foot].min() + 0.05), -z)
        for finger, name in enumerate(("thumb", "index", "middle", "ring", "pinky")):
            along = outward + 0.6 * z if name == "thumb" else outward
            points[f"{side}_{name}"] = extreme(samples.tips[:, finger + 5 * index] > 0.5, along)
    return np.stack([points[name] for name in EXTRA_VERTEX_NAMES])


def hair_mask(mean: np.ndarray, eyes: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """(V,) vertices of the scalp: above the hairline of the forehead, over the ears and down to the nape."""
    head = weights[:, 15] > 0.5
    front = (mean[:, 2] - (mean[head, 2].max() + mean[head, 2].min()) / 2) / np.ptp(mean[head, 2])
    hairline = np.interp(front, [-0.5, -0.15, 0.0, 0.15, 0.4], [-0.09, -0.07, 0.01, 0.05, 0.07])
    return head & (mean[:, 1] - eyes[:, 1].mean() > hairline)


def point_mixtures() -> np.ndarray:
    """(26, 26) how the 9 extra and the 17 H36M points are mixed from 24 joints, nose and top of the head."""
    unit = np.eye(26)
    nose, top = unit[24], unit[25]
    thorax = (unit[[16, 17]].mean(0) + unit[12]) / 2
    pelvis = unit[[1, 2]].mean(0)
    jaw = (unit[15] + nose) / 2
    extra9 = [unit[2], unit[1], unit[12], top, pelvis, thorax, unit[6], jaw, (jaw + top) / 2]
    limbs = unit[[8, 5, 2, 1, 4, 7, 21, 19, 17, 16, 18, 20]]
    return np.stack([*extra9, *limbs, thorax, top, pelvis, unit[6], jaw])


def regressor_betas(seed: int, count: int) -> np.ndarray:
    """(2 count, 10) adults, then children."""
    betas = np.random.default_rng(seed).normal(size=(2 * count, 10))
    betas[count:, YOUTH_AXIS] = np.linspace(3, 13, count)
    return betas


def joint_rows(mesh: LinearShape, joints: LinearShape, candidates: int) -> np.ndarray:
    """(24, V) regressor of the rest joints over adults and children."""
    mixtures = sigma_betas(regressor_betas(3, 200))
    vertices, targets = (
        np.tensordot(mixtures, np.concatenate([shape.mean[..., None], shape.directions], axis=-1), (1, 2)) for shape in (mesh, joints)
    )
    return regressor(vertices, targets, cdist(joints.mean, mesh.mean), candidates, JOINT_TOLERANCE_M)


@dataclass(frozen=True)
class PosedPoints:
    """Truth for the regressors that act on posed meshes.

    Attributes:
        betas: (N, 10).
        rotations: (N, 24, 3, 3) against the body's frame.
        points_m: (N, 26, 3) the extra and the H36M points.
    """

    betas: np.ndarray
    rotations: np.ndarray
    points_m: np.ndarray


def pose_points(mesh: LinearShape, joints: LinearShape, weights: np.ndarray, nose_and_top: list[int]) -> PosedPoints:
    """Where joints, nose and top of the head of the detailed mesh are in random poses; the first sample is the T-pose."""
    betas = regressor_betas(4, 40)
    betas[0] = 0
    rotations = random_rotations(np.random.default_rng(6), len(betas))
    rotations[0] = np.eye(3)
    marks = LinearShape(mesh.mean[nose_and_top], mesh.directions[nose_and_top])
    posed, moved = skin(marks.at(betas), joints.at(betas), weights[nose_and_top], rotations)
    return PosedPoints(betas, rotations, point_mixtures() @ np.concatenate([moved, posed], axis=1))


def point_rows(mesh: LinearShape, joints: LinearShape, weights: np.ndarray, truth: PosedPoints, candidates: int) -> np.ndarray:
    """(26, V) regressor of the extra and the H36M points over posed adults and children."""
    scale = 1 / np.sqrt(len(truth.betas))
    vertices, _ = skin(mesh.at(truth.betas), joints.at(truth.betas), weights, truth.rotations)
    return regressor(vertices * scale, truth.points_m * scale, cdist(truth.points_m[0], mesh.mean), candidates, POINT_TOLERANCE_M)


def report(name: str, mesh: LinearShape, joints: LinearShape, rows: np.ndarray) -> None:
    """Log the joint regressor's largest error and the statures over 200 other adults and 200 other children."""
    betas = regressor_betas(5, 200)
    error = np.linalg.norm(rows @ mesh.at(betas) - joints.at(betas), axis=-1)
    heights = stature(mesh.at(betas))
    for label, who in (("adults", slice(200)), ("children", slice(200, None))):
        logger.info("%s, %s: largest error of each joint in mm: %s", name, label, (1e3 * error[who].max(0)).round(1))
        some = heights[who]
        logger.info("stature %.3f ± %.3f m, %.3f to %.3f m", some.mean(), some.std(), some.min(), some.max())


def nearest(mean: np.ndarray, points: np.ndarray) -> np.ndarray:
    """(K,) vertices of the mesh nearest to (K, 3) points."""
    return cKDTree(mean).query(points)[1]


def save(path: Path, samples: Meshes, mesh: LinearShape, rows: np.ndarray, extra_vertices: np.ndarray, hair: np.ndarray) -> None:
    """Write one level of detail with SMPL's keys and the extra ones that `crowd3d.bodies.body` reads."""
    arrays = {
        "v_template": mesh.mean,
        "shapedirs": mesh.directions,
        "posedirs": np.zeros((len(mesh.mean), 3, 207)),
        "J_regressor": rows[:24],
        "J_regressor_extra9": rows[24:33],
        "J_regressor_h36m17": rows[33:],
        "weights": samples.weights,
    }
    write_npz(
        path,
        **{key: value.astype(np.float32) for key, value in arrays.items()},
        kintree_table=np.stack([np.where(SMPL_PARENTS < 0, 2**32 - 1, SMPL_PARENTS), np.arange(24)]),
        f=samples.faces.astype(np.uint32),
        extra_vertex_ids=extra_vertices,
        hair=hair,
        name=np.array(path.stem),
    )


def build(output: Path, truth: Path | None) -> None:
    """Write ``free_body_high.npz`` and ``free_body_low.npz`` into `output`, and sampled true joints to `truth`."""
    levels = {name: sample(topology) for name, (topology, _) in TOPOLOGIES.items()}
    high = levels["free_body_high"]
    mixing = shape_mixing(high.vertices, ADULTS, stature(high.vertices), YOUTH_M, ADULT_STATURE_M[1])
    meshes = {name: mixing.apply(samples.vertices) for name, samples in levels.items()}
    high_mesh, low_mesh = meshes["free_body_high"], meshes["free_body_low"]
    joints, eyes = mixing.apply(high.joints), mixing.apply(high.eyes).mean
    # both levels use the same places, so the coarse mesh decides
    places = low_mesh.mean[nearest(low_mesh.mean, landmark_points(high_mesh.mean, eyes, high))]
    landmarks = {name: nearest(mesh.mean, places) for name, mesh in meshes.items()}
    posed = pose_points(high_mesh, joints, high.weights, [landmarks["free_body_high"][0], int(high_mesh.mean[:, 1].argmax())])
    for name, samples in levels.items():
        mesh, candidates = meshes[name], TOPOLOGIES[name][1]
        rows = joint_rows(mesh, joints, candidates)
        report(name, mesh, joints, rows)
        rows = np.concatenate([rows, point_rows(mesh, joints, samples.weights, posed, candidates)])
        save(output / f"{name}.npz", samples, mesh, rows, landmarks[name], hair_mask(mesh.mean, eyes, samples.weights))
    if truth is not None:
        betas = regressor_betas(11, 100)
        write_npz(truth, betas=betas.astype(np.float32), joints_m=joints.at(betas).astype(np.float32))


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--output", type=Path, required=True, help="folder for the two .npz files")
    parser.add_argument("--truth", type=Path, help="also write the true joints of 200 sampled shapes to this .npz, for tests")
    arguments = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    build(arguments.output, arguments.truth)


if __name__ == "__main__":
    main()
