"""A body in SMPL's layout: betas and joint rotations → mesh and SMPL-54 joints."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from array_api_compat import array_namespace, device

from crowd3d.bodies.skinning import articulate, reshape, skin
from crowd3d.geometry.rotations import Array, axis_angle_to_matrix

if TYPE_CHECKING:
    from torch import Tensor

CHUNK_VERTICES = 160_000
"""Vertices skinned at a time: what lies between them then stays in the processor's cache."""


class BodyOutput(NamedTuple):
    """Posed people in metres, SMPL frame: x to the person's left, y up, facing z before the global orientation.

    Attributes:
        vertices: (N, V, 3).
        joints54: (N, 54, 3), order of `crowd3d.bodies.joints.SMPL54_NAMES`.
    """

    vertices: Any
    joints54: Any


@dataclass(frozen=True, eq=False)
class Body:
    """A body to be posed (see `crowd3d.bodies.skinning`), with the joints of the published network.

    Attributes:
        name: what files call this body, such as ``smpl_neutral`` or ``free_body_high``.
        faces: (F, 3) int64 triangles, counter-clockwise from outside.
        template: (V, 3) float64 metres, T-pose, betas 0.
        shapedirs: (V, 3, 10) metres per beta.
        posedirs: (V, 3, 207) metres per entry of R − I of joints 1…23, or None when all are zero.
        joint_template: (24, 3) rest joints at betas 0.
        joint_shapedirs: (24, 3, 10) rest joints per beta.
        weights: (V, 24) skinning weights.
        extra_vertex_ids: (21,) vertices that are SMPL-54 joints 24…44.
        regressor_extra9: (9, V) SMPL-54 joints 45…53 from posed vertices.
        regressor_h36m17: (17, V) joints in the order of `crowd3d.bodies.joints.H36M17_NAMES` from posed vertices.
        hair: (V,) bool, vertices of the scalp; all False where a body file does not say.
    """

    name: str
    faces: np.ndarray
    template: np.ndarray
    shapedirs: np.ndarray
    posedirs: np.ndarray | None
    joint_template: np.ndarray
    joint_shapedirs: np.ndarray
    weights: np.ndarray
    extra_vertex_ids: np.ndarray
    regressor_extra9: np.ndarray
    regressor_h36m17: np.ndarray
    hair: np.ndarray
    _beside: dict[tuple[Any, ...], dict[str, Any]] = field(default_factory=dict, repr=False)

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, np.ndarray], name: str) -> Body:
        """From SMPL's arrays.

        Args:
            arrays: SMPL's keys (v_template, shapedirs with at least 10 betas, posedirs, J_regressor, weights, f), and
                extra_vertex_ids (21,), J_regressor_extra9 (9, V), J_regressor_h36m17 (17, V) in the order of `H36M17_NAMES`;
                hair (V,) is optional.
            name: see the class.

        Raises:
            KeyError: an array is absent.
            ValueError: an array has the wrong shape.
        """
        template = np.asarray(arrays["v_template"], np.float64)
        count = len(template)
        shapes = {
            "v_template": (count, 3),
            "posedirs": (count, 3, 207),
            "J_regressor": (24, count),
            "weights": (count, 24),
            "extra_vertex_ids": (21,),
            "J_regressor_extra9": (9, count),
            "J_regressor_h36m17": (17, count),
        }
        for key, shape in shapes.items():
            if np.shape(arrays[key]) != shape:
                raise ValueError(f"{key} has shape {np.shape(arrays[key])}, not {shape}")
        shapedirs = np.asarray(arrays["shapedirs"], np.float64)[..., :10]
        if shapedirs.shape != (count, 3, 10):
            raise ValueError(f"shapedirs has shape {np.shape(arrays['shapedirs'])}, not ({count}, 3, ≥ 10)")
        joint_regressor = np.asarray(arrays["J_regressor"], np.float64)
        posedirs = np.asarray(arrays["posedirs"])
        return cls(
            name=name,
            faces=np.asarray(arrays["f"], np.int64),
            template=template,
            shapedirs=shapedirs,
            posedirs=posedirs.astype(np.float64) if posedirs.any() else None,
            joint_template=joint_regressor @ template,
            joint_shapedirs=np.tensordot(joint_regressor, shapedirs, 1),
            weights=np.asarray(arrays["weights"], np.float64),
            extra_vertex_ids=np.asarray(arrays["extra_vertex_ids"], np.int64),
            regressor_extra9=np.asarray(arrays["J_regressor_extra9"], np.float64),
            regressor_h36m17=np.asarray(arrays["J_regressor_h36m17"], np.float64),
            hair=np.asarray(arrays.get("hair", np.zeros(count)), bool),
        )

    @property
    def part(self) -> np.ndarray:
        """(V,) uint8 joint with the largest skinning weight."""
        return self.weights.argmax(1).astype(np.uint8)

    def stature_m(self, betas: np.ndarray) -> np.ndarray:
        """(N, 10) → (N,) height of the mesh in T-pose, sole to crown, metres. Not for a restricted body."""
        height = self.template[:, 1] + np.asarray(betas, np.float64) @ self.shapedirs[:, 1].T
        return np.ptp(height, axis=1)

    def restrict(self) -> Body:
        """The same body with only those vertices that SMPL-54 and H36M-17 joints need, and no faces.

        Joints are equal to those of the whole body and cost a few per cent of it.
        """
        used = (self.regressor_extra9 != 0).any(0) | (self.regressor_h36m17 != 0).any(0)
        used[self.extra_vertex_ids] = True
        rows = np.flatnonzero(used)
        return dataclasses.replace(
            self,
            faces=np.zeros((0, 3), np.int64),
            template=self.template[rows],
            shapedirs=self.shapedirs[rows],
            posedirs=None if self.posedirs is None else self.posedirs[rows],
            weights=self.weights[rows],
            extra_vertex_ids=np.searchsorted(rows, self.extra_vertex_ids),
            regressor_extra9=self.regressor_extra9[:, rows],
            regressor_h36m17=self.regressor_h36m17[:, rows],
            hair=self.hair[rows],
            _beside={},
        )

    def pose(self, pose_rad: np.ndarray, betas: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Pose everybody, in chunks.

        Args:
            pose_rad: (N, 24, 3) axis-angle relative to the parent, global orientation first.
            betas: (N, 10).

        Returns:
            Vertices (N, V, 3) and SMPL-54 joints (N, 54, 3), metres, float64 if `pose_rad` is, else float32.
        """
        dtype = np.float64 if np.asarray(pose_rad).dtype == np.float64 else np.float32
        rotations, betas = axis_angle_to_matrix(np.asarray(pose_rad, dtype)), np.asarray(betas, dtype)
        vertices, joints = (np.empty((len(rotations), count, 3), dtype) for count in (len(self.template), 54))
        for rows in self._chunks(len(rotations)):
            vertices[rows], joints[rows] = self._skin(rotations[rows], betas[rows])
        return vertices, joints

    def forward(self, pose_rad: Tensor, betas: Tensor) -> BodyOutput:
        """`pose` for tensors: differentiable; device and dtype of `pose_rad`; never in reduced precision under autocast."""
        import torch

        with torch.autocast(pose_rad.device.type, enabled=False):
            rotations = axis_angle_to_matrix(pose_rad)
        return self.forward_rotations(rotations, betas)

    def forward_rotations(self, rotations: Tensor, betas: Tensor) -> BodyOutput:
        """`forward` with rotation matrices (N, 24, 3, 3), which a network that predicts them need not turn into angles and back.

        Without gradients people are processed in chunks.
        """
        import torch

        betas = betas.to(rotations.dtype)
        with torch.autocast(rotations.device.type, enabled=False):
            if torch.is_grad_enabled() and (rotations.requires_grad or betas.requires_grad):
                return self._skin(rotations, betas)
            # Into their places: joining chunks afterwards would hold everybody twice.
            vertices, joints = (rotations.new_empty(len(rotations), count, 3) for count in (len(self.template), 54))
            for rows in self._chunks(len(rotations)):
                vertices[rows], joints[rows] = self._skin(rotations[rows], betas[rows])
            return BodyOutput(vertices, joints)

    def joints_h36m17(self, vertices: np.ndarray) -> np.ndarray:
        """(N, V, 3) posed vertices → (N, 17, 3) joints in the order of `H36M17_NAMES`, not aligned."""
        return self.regressor_h36m17.astype(vertices.dtype) @ vertices

    def _chunks(self, people: int) -> Iterator[slice]:
        step = max(1, CHUNK_VERTICES // len(self.template))
        return (slice(first, first + step) for first in range(0, people, step))

    def _skin(self, rotations: Array, betas: Array) -> BodyOutput:
        xp, buffers = array_namespace(rotations), self._buffers(rotations)
        shaped = reshape(buffers["template"], buffers["shapedirs"], betas)
        if self.posedirs is not None:
            identity = xp.eye(3, dtype=rotations.dtype, device=device(rotations))
            shaped = reshape(shaped, buffers["posedirs"], (rotations[:, 1:] - identity).reshape(-1, 207))
        rest = reshape(buffers["joint_template"], buffers["joint_shapedirs"], betas)
        bones = articulate(rotations, rest)
        vertices = skin(bones, rest, buffers["weights"], shaped)
        extra9 = buffers["regressor_extra9"] @ vertices[:, buffers["extra9_vertex_ids"]]
        return BodyOutput(vertices, xp.concat([bones.position, vertices[:, buffers["extra_vertex_ids"]], extra9], axis=1))

    def _buffers(self, like: Array) -> dict[str, Array]:
        """Arrays of the body beside those that are to be posed."""
        xp, key = array_namespace(like), (type(like), device(like), like.dtype)
        if key not in self._beside:
            used = np.flatnonzero(self.regressor_extra9.any(0))
            names = ["template", "shapedirs", "joint_template", "joint_shapedirs", "weights"]
            names += [] if self.posedirs is None else ["posedirs"]
            arrays = {name: getattr(self, name) for name in names} | {"regressor_extra9": self.regressor_extra9[:, used]}
            indices = {"extra_vertex_ids": self.extra_vertex_ids, "extra9_vertex_ids": used}
            with _outside_inference_mode(like):
                buffers = {name: xp.asarray(array, dtype=like.dtype, device=device(like)) for name, array in arrays.items()}
                self._beside[key] = buffers | {name: xp.asarray(array, device=device(like)) for name, array in indices.items()}
        return self._beside[key]


def _outside_inference_mode(like: Array) -> AbstractContextManager[object]:
    """What is kept beside tensors serves training as well."""
    if isinstance(like, np.ndarray):
        return nullcontext()
    import torch

    return torch.inference_mode(False)
