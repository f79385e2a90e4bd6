"""The free body, prepared for posing thousands of people quickly: compiled linear blend skinning without autograd."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numba import njit

from crowd3d.errors import MissingAsset

_DATA = Path(__file__).resolve().parents[1] / "bodies" / "data"


@dataclass(frozen=True)
class Mannequin:
    """A body in SMPL's layout without pose blend shapes.

    Attributes:
        name: body that pose and betas belong to.
        faces: (F, 3) int32, counter-clockwise seen from outside.
        template_m: (V, 3) float32 mean body in T-pose, y up, facing +z.
        shape_m: (V, 3, 10) float32 displacement per beta.
        joints_m: (24, 3) float32 joints of the template.
        joint_shape_m: (24, 3, 10) float32 displacement per beta.
        parents: (24,) int64.
        bone: (V, K) int32 joints that move a vertex.
        weight: (V, K) float32 their weights.
        extra_vertices: (21,) int64 vertices that are SMPL-54 joints 24…44.
        extra_regressor: (9, V) float32 SMPL-54 joints 45…53.
    """

    name: str
    faces: np.ndarray
    template_m: np.ndarray
    shape_m: np.ndarray
    joints_m: np.ndarray
    joint_shape_m: np.ndarray
    parents: np.ndarray
    bone: np.ndarray
    weight: np.ndarray
    extra_vertices: np.ndarray
    extra_regressor: np.ndarray

    @classmethod
    def load(cls, detail: str = "low", path: Path | None = None) -> Mannequin:
        """Load the shipped body with `detail` "low" (about 1.2k vertices) or "high" (about 12k), or the file at `path`.

        Raises:
            MissingAsset: the file is absent.
        """
        path = path or _DATA / f"free_body_{detail}.npz"
        if not path.is_file():
            raise MissingAsset(f"no free body at {path}; reinstall crowd3d, or build it with python -m crowd3d.bodies.build_free_body")
        with np.load(path) as z:
            return cls.from_arrays({key: z[key] for key in z.files})

    @classmethod
    def from_arrays(cls, arrays: dict[str, np.ndarray]) -> Mannequin:
        """From SMPL's arrays (``v_template, shapedirs, J_regressor, weights, kintree_table, f``) and the extra joints."""
        weights = arrays["weights"]
        used = int((weights > 0).sum(axis=1).max())
        bone = np.argsort(-weights, axis=1, kind="stable")[:, :used]
        regressor = arrays["J_regressor"].astype(np.float64)
        parents = arrays["kintree_table"][0].astype(np.int64)
        parents[0] = -1
        return cls(
            name=str(arrays["name"]),
            faces=np.ascontiguousarray(arrays["f"], np.int32),
            template_m=np.ascontiguousarray(arrays["v_template"], np.float32),
            shape_m=np.ascontiguousarray(arrays["shapedirs"][:, :, :10], np.float32),
            joints_m=(regressor @ arrays["v_template"]).astype(np.float32),
            joint_shape_m=np.einsum("jv,vck->jck", regressor, arrays["shapedirs"][:, :, :10]).astype(np.float32),
            parents=parents,
            bone=np.ascontiguousarray(bone, np.int32),
            weight=np.ascontiguousarray(np.take_along_axis(weights, bone, axis=1), np.float32),
            extra_vertices=arrays["extra_vertex_ids"].astype(np.int64),
            extra_regressor=np.ascontiguousarray(arrays["J_regressor_extra9"], np.float32),
        )

    def pose(self, pose_rad: np.ndarray, betas: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """(N, 24, 3) axis-angle, (N, 10) → vertices (N, V, 3) and SMPL-54 joints (N, 54, 3), float32 metres."""
        count = len(pose_rad)
        vertices = np.empty((count, len(self.template_m), 3), np.float32)
        joints = np.empty((count, 54, 3), np.float32)
        _skin(
            self.template_m,
            self.shape_m,
            self.joints_m,
            self.joint_shape_m,
            self.parents,
            self.bone,
            self.weight,
            np.ascontiguousarray(pose_rad, np.float32),
            np.ascontiguousarray(betas, np.float32),
            vertices,
            joints,
        )
        joints[:, 24:45] = vertices[:, self.extra_vertices]
        joints[:, 45:] = np.einsum("ev,nvc->nec", self.extra_regressor, vertices, optimize=True)
        return vertices, joints


@njit(cache=True, nogil=True, fastmath=True)
def _rotation(r, out):
    """Rodrigues' formula, axis-angle (3,) → (3, 3)."""
    angle = np.sqrt(r[0] * r[0] + r[1] * r[1] + r[2] * r[2]) + 1e-12
    x, y, z = r[0] / angle, r[1] / angle, r[2] / angle
    c, s = np.cos(angle), np.sin(angle)
    k = 1.0 - c
    out[0, 0], out[0, 1], out[0, 2] = c + x * x * k, x * y * k - z * s, x * z * k + y * s
    out[1, 0], out[1, 1], out[1, 2] = x * y * k + z * s, c + y * y * k, y * z * k - x * s
    out[2, 0], out[2, 1], out[2, 2] = x * z * k - y * s, y * z * k + x * s, c + z * z * k


@njit(cache=True, nogil=True, fastmath=True)
def _skin(template, shape, joints0, joint_shape, parents, bone, weight, pose, betas, vertices, joints):
    """Linear blend skinning (Loper et al. 2015, SMPL, without pose blend shapes); fills vertices and joints[:, :24]."""
    local = np.empty((3, 3), np.float64)
    rotation = np.empty((24, 3, 3), np.float64)
    rest = np.empty((24, 3), np.float64)
    position = np.empty((24, 3), np.float64)
    shift = np.empty((24, 3), np.float64)
    point = np.empty(3, np.float64)
    for n in range(len(pose)):
        for j in range(24):
            for a in range(3):
                rest[j, a] = joints0[j, a]
                for k in range(10):
                    rest[j, a] += joint_shape[j, a, k] * betas[n, k]
        for j in range(24):
            _rotation(pose[n, j], local)
            if j == 0:
                rotation[0] = local
                position[0] = rest[0]
            else:
                p = parents[j]
                for a in range(3):
                    position[j, a] = position[p, a]
                    for b in range(3):
                        position[j, a] += rotation[p, a, b] * (rest[j, b] - rest[p, b])
                        rotation[j, a, b] = (
                            rotation[p, a, 0] * local[0, b] + rotation[p, a, 1] * local[1, b] + rotation[p, a, 2] * local[2, b]
                        )
        for j in range(24):
            for a in range(3):
                joints[n, j, a] = position[j, a]
                shift[j, a] = position[j, a]
                for b in range(3):
                    shift[j, a] -= rotation[j, a, b] * rest[j, b]
        for v in range(len(template)):
            for a in range(3):
                point[a] = template[v, a]
                for k in range(10):
                    point[a] += shape[v, a, k] * betas[n, k]
            for a in range(3):
                total = 0.0
                for q in range(bone.shape[1]):
                    w = weight[v, q]
                    if w == 0.0:
                        break
                    j = bone[v, q]
                    total += w * (rotation[j, a, 0] * point[0] + rotation[j, a, 1] * point[1] + rotation[j, a, 2] * point[2] + shift[j, a])
                vertices[n, v, a] = total
