"""From the network's maps and a labelled batch to the terms of its loss."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass

import torch
from torch import Tensor

from crowd3d.bodies import Body
from crowd3d.bodies.joints import HIPS54
from crowd3d.geometry.projection import project_points
from crowd3d.model.crowd3dnet import Maps
from crowd3d.model.decoding import Detections
from crowd3d.model.lifting import LiftedPeople, TileViews, lift_people, torso_root
from crowd3d.training.supervision import losses
from crowd3d.training.supervision.averages import Averaged, alone
from crowd3d.training.supervision.center_loss import center_map_loss
from crowd3d.training.supervision.matching import Matches, match
from crowd3d.training.supervision.pose_losses import PosePriorGmm, pose_loss, prior_loss, shape_loss
from crowd3d.training.supervision.samples import Batch, Label

MATCH_THRESHOLD = 0.2
CAP = 1000.0
"""A term above it is scaled down to it, and its gradient with it."""


@dataclass(frozen=True)
class LossWeights:
    """Factors of the terms; 0 leaves a term out. The defaults are those of the release's second stage, ``all``."""

    center_map: float = 160.0
    keypoints_2d: float = 400.0
    mpjpe: float = 200.0
    pa_mpjpe: float = 360.0
    pose: float = 80.0
    shape: float = 6.0
    prior: float = 1.6
    hvip: float = 500.0
    torso_offset: float = 800.0
    root_cam: float = 200.0
    out_of_bound: float = 800.0
    ground_normal: float = 10.0


@dataclass(frozen=True)
class _People:
    """N matched people: what is predicted and what is known of them."""

    detections: Detections
    lifted: LiftedPeople
    views: TileViews
    vertices_m: Tensor
    joints_m: Tensor
    translation_cam_m: Tensor
    targets: Batch

    def known(self, label: Label) -> Tensor:
        return self.targets.masks[..., label]


def supervise(
    maps: Maps,
    batch: Batch,
    body: Body,
    weights: LossWeights,
    prior: PosePriorGmm | None,
    *,
    threshold: float = MATCH_THRESHOLD,
    centers_only: bool = False,
    averaged: Averaged = alone,
) -> dict[str, Tensor]:
    """Terms of the loss by the names of `LossWeights`, weighted and capped; their sum is the loss. Never in reduced precision.

    Args:
        maps: output of the network for the batch.
        batch: on the device of the maps.
        body: with its mesh; a coarse one is enough. Its joints are compared with the labels.
        weights: terms of weight 0 are not computed.
        prior: None: of the prior only the bend of elbows and knees.
        threshold: predicted centres above it are matched.
        centers_only: compute the centre map's term alone, as in the first epochs, when no other prediction means anything.
        averaged: mean of a tensor over all processes of a distributed run; with it the average of their losses and gradients is
            that of one process with all their data. Called equally often in every process.
    """
    with torch.autocast(maps.center_map.device.type, enabled=False):
        maps = Maps(maps.params_maps.float(), maps.center_map.float())
        terms: dict[str, Tensor] = {}
        if weights.center_map:
            terms["center_map"] = center_map_loss(maps.center_map, batch.center_map, batch.counted, batch.all_people, averaged)
        people_weights = {name: weight for name, weight in asdict(weights).items() if weight and name != "center_map"}
        if people_weights and not centers_only:
            matches = match(maps.center_map, batch.person_centers, batch.known(Label.PRESENT), threshold)
            people = _reconstruct(maps, batch, matches, body)
            compute = _terms(people, prior, averaged)
            terms |= {name: compute[name]() for name in people_weights}
        return weigh(terms, weights, averaged)


def weigh(terms: dict[str, Tensor], weights: LossWeights, averaged: Averaged = alone) -> dict[str, Tensor]:
    """Raw terms times their weights, each scaled so that it does not exceed `CAP`."""
    if not terms:
        return {}
    weighted = torch.stack([getattr(weights, name) * value.double() for name, value in terms.items()])
    scale = CAP / averaged(weighted.detach()).clamp(min=CAP)
    return dict(zip(terms, weighted * scale, strict=True))


def _reconstruct(maps: Maps, batch: Batch, matches: Matches, body: Body) -> _People:
    """Matched people in space, with their labels."""
    numbers = maps.params_maps[matches.image_index, :, matches.cell[:, 1], matches.cell[:, 0]]
    detections = Detections(matches.cell, matches.score, matches.image_index, numbers, maps.center_map.shape[-1])
    lifted = lift_people(detections, batch.views)
    vertices, joints = body.forward_rotations(detections.rotations, detections.betas)
    return _People(
        detections=detections,
        lifted=lifted,
        views=batch.views[matches.image_index],
        vertices_m=vertices,
        joints_m=joints,
        translation_cam_m=lifted.translation_cam_m(torso_root(joints)),
        targets=_targets(batch, matches),
    )


_OVER_PEOPLE = ("person_centers", "keypoints", "keypoints_known", "joints_cam_m", "joints_known", "rotations", "betas", "hvip") + (
    "torso",
    "root_cam_m",
    "masks",
)


def _targets(batch: Batch, matches: Matches) -> Batch:
    """The labels of the matched people, one row each, whether a field is about people or about their image; no pictures."""
    rows = {}
    for name in _OVER_PEOPLE:
        rows[name] = getattr(batch, name)[matches.image_index, matches.person_index]
    for name in ("K", "planes", "distortion"):
        rows[name] = getattr(batch, name)[matches.image_index]
    return batch._replace(**rows)


def _terms(people: _People, prior: PosePriorGmm | None, averaged: Averaged) -> dict[str, Callable[[], Tensor]]:
    """Functions that compute the raw terms of matched people."""
    targets, lifted, found = people.targets, people.lifted, people.detections
    everybody, in_space = people.known(Label.PRESENT), lifted.valid
    joints, joints_known = people.joints_m, targets.joints_known
    normals = targets.planes[:, :3]

    def root() -> Tensor:
        middle = joints[:, HIPS54].mean(1) + people.translation_cam_m
        return losses.root_loss(middle, targets.root_cam_m, people.known(Label.ROOT) & in_space, averaged)

    def out_of_bound() -> Tensor:
        vertices = people.vertices_m + people.translation_cam_m[:, None]
        height = torch.einsum("nvc,nc->nv", vertices, normals) + targets.planes[:, 3:]
        return losses.out_of_bound_loss(height, in_space, averaged)

    def pose() -> Tensor:
        orientation, body = people.known(Label.ORIENTATION), people.known(Label.POSE)
        return pose_loss(found.rotations[:, :22], targets.rotations, orientation, body, averaged)

    return {
        "keypoints_2d": lambda: losses.keypoint_loss(_joints_tile(people), targets.keypoints, targets.keypoints_known, in_space, averaged),
        "mpjpe": lambda: losses.mpjpe_loss(joints, targets.joints_cam_m, joints_known, averaged),
        "pa_mpjpe": lambda: losses.pa_mpjpe_loss(joints, targets.joints_cam_m, joints_known, averaged),
        "pose": pose,
        "shape": lambda: shape_loss(found.betas, targets.betas, people.known(Label.BETAS), averaged),
        "prior": lambda: prior_loss(found.pose_rad[:, 1:].flatten(1), prior, everybody, averaged),
        "hvip": lambda: losses.hvip_loss(lifted.hvip_tile, targets.hvip, people.known(Label.HVIP), averaged),
        "torso_offset": lambda: losses.torso_loss(lifted.torso_tile, targets.torso, people.known(Label.TORSO), averaged),
        "root_cam": root,
        "out_of_bound": out_of_bound,
        "ground_normal": lambda: losses.ground_normal_loss(joints.to(normals.dtype), normals, everybody, averaged),
    }


def _joints_tile(people: _People) -> Tensor:
    """(N, 54, 2) joints in tile coordinates; of no use where `LiftedPeople.valid` is false."""
    joints = people.joints_m + people.translation_cam_m[:, None]
    pixels, _ = project_points(joints, people.targets.K, people.targets.distortion)
    origin, side = people.views.origin_px[:, None], people.views.side_px[:, None, None]
    return (pixels - origin) * 2 / side - 1
