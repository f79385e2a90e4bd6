"""How good a network in training is, on held-out tiles whose truth is known."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np
import torch
from scipy.optimize import linear_sum_assignment
from torch import Tensor, nn

from crowd3d.bodies import Body
from crowd3d.bodies.joints import HIPS54
from crowd3d.evaluation import metrics
from crowd3d.geometry.hvip import ground_points
from crowd3d.model import Detections, Maps, decode_maps, lift_people
from crowd3d.model.lifting import torso_root
from crowd3d.training.supervision import Batch, Label

GATE_CELLS = 2.0
"""A predicted centre is right within so many map cells of the true one; predicted centres are at least three cells apart."""
BODY_JOINTS = 24
SCORE_SCALE_MM = 100.0
SHOWN = 8


def figures(network: nn.Module, batches: Sequence[Batch], body: Body, threshold: float) -> dict[str, float]:
    """Figures of a network in eval mode; to be called without gradients.

    Returns:
        precision, recall, f1 of centres; hvip_m: median distance of HVIPs on the ground; pa_mpjpe_mm: mean over matched people;
        ppds: mean over tiles with two people or more, in percent; score: what the best weights are chosen by, 1 at most.
    """
    right = found = wanted = 0
    hvip: list[np.ndarray] = []
    joints: list[np.ndarray] = []
    ppds: list[float] = []
    device = next(network.parameters()).device
    for batch in (batch.to(device) for batch in batches):
        maps = _maps(network, batch)
        people = decode_maps(maps, threshold)
        image, person = batch.known(Label.PRESENT).nonzero(as_tuple=True)
        pairs = match_centres(people, image, batch.person_centers[image, person])
        counted = batch.counted[people.image_index, 0, people.centers[:, 1], people.centers[:, 0]]
        matched = torch.zeros_like(counted)
        matched[pairs[0]] = True
        right, found, wanted = right + len(pairs[0]), found + int((matched | counted).sum()), wanted + len(image)
        truth = image[pairs[1]], person[pairs[1]]
        errors = _errors(people, pairs[0], batch, truth, body)
        hvip.append(errors[0])
        joints.append(errors[1])
        ppds += _ppds(errors[2], errors[3], truth[0].cpu().numpy(), np.bincount(image.cpu().numpy(), minlength=len(batch.images)))
    precision, recall = right / max(found, 1), right / max(wanted, 1)
    f1 = 2 * precision * recall / max(precision + recall, 1e-9)
    pa_mpjpe = float(np.concatenate(joints).mean()) if right else float("nan")
    similarity = float(np.mean(ppds)) if ppds else 0.0
    return {
        "precision": precision,
        "recall": recall,
        "f1": f1,
        "hvip_m": float(np.median(np.concatenate(hvip))) if right else float("nan"),
        "pa_mpjpe_mm": pa_mpjpe,
        "ppds": similarity,
        "score": f1 * similarity / 100 / (1 + pa_mpjpe / SCORE_SCALE_MM) if right else 0.0,
    }


def _maps(network: nn.Module, batch: Batch) -> Maps:
    views = batch.views
    return network(batch.images.float(), views.camera_inputs, views.ground_inputs)


def match_centres(people: Detections, image: Tensor, centers: Tensor) -> tuple[np.ndarray, np.ndarray]:
    """One-to-one assignment of predicted to true centres within `GATE_CELLS`.

    Args:
        people: predicted.
        image: (G,) tile of each true person.
        centers: (G, 2) tile coordinates, −1…1.

    Returns:
        Rows of `people` and of `image`.
    """
    cells = (centers + 1) / 2 * people.map_size
    distance = torch.cdist(people.centers + 0.5, cells, compute_mode="donot_use_mm_for_euclid_dist")
    distance[people.image_index[:, None] != image] = 1e6
    cost = distance.cpu().numpy()
    predicted, true = linear_sum_assignment(np.minimum(cost, 1e3))
    close = cost[predicted, true] <= GATE_CELLS
    return predicted[close], true[close]


def _errors(
    people: Detections, rows: np.ndarray, batch: Batch, truth: tuple[Tensor, Tensor], body: Body
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Of M matched people: metres of the HVIP, millimetres of the joints after alignment, predicted and true torso centres (M, 3)."""
    chosen = Detections(people.centers[rows], people.score[rows], people.image_index[rows], people.numbers[rows], people.map_size)
    views = batch.views[truth[0]]
    lifted = lift_people(chosen, batch.views)
    true_hvip = ground_points(views.to_scene_px(batch.hvip[truth].double()), views.K, views.planes)[0]
    predicted, true = body.forward(chosen.pose_rad, chosen.betas).joints54, batch.joints_cam_m[truth]
    known = batch.joints_known[truth][:, :BODY_JOINTS].all(1)
    pair = (joints[:, :BODY_JOINTS][known].double().cpu().numpy() for joints in (predicted, true))
    true_torso = batch.root_cam_m[truth] + torso_root(true) - true[:, HIPS54].mean(1)
    return (
        (lifted.hvip_cam_m - true_hvip).norm(dim=1).cpu().numpy(),
        metrics.aligned_joint_errors_mm(*pair),
        lifted.torso_cam_m.cpu().numpy(),
        true_torso.double().cpu().numpy(),
    )


def _ppds(predicted: np.ndarray, true: np.ndarray, image: np.ndarray, people: np.ndarray) -> list[float]:
    """Of every tile with at least two people."""
    return [
        metrics.ppds(predicted[image == tile], true[image == tile], (image == tile).sum() / people[tile])
        for tile in np.flatnonzero(people >= 2)
    ]


def picture(network: nn.Module, batch: Batch, threshold: float) -> np.ndarray:
    """(S, n · S, 3) uint8: the first tiles of `batch`, true centres as green circles, predicted ones as red crosses."""
    batch = Batch(*(tensor[:SHOWN] for tensor in batch)).to(next(network.parameters()).device)
    people = decode_maps(_maps(network, batch), threshold)
    tiles = list(batch.images.cpu().numpy().copy())  # not drawn into the tiles themselves
    size = tiles[0].shape[0]
    for image, person in batch.known(Label.PRESENT).nonzero().tolist():
        x, y = ((batch.person_centers[image, person] + 1) / 2 * size).round().int().tolist()
        cv2.circle(tiles[image], (x, y), size // 64 + 2, (60, 255, 60), 1 + size // 400)
    cells = ((people.centers + 0.5) * (size / people.map_size)).round().int().tolist()
    for image, (x, y) in zip(people.image_index.tolist(), cells, strict=True):
        cv2.drawMarker(tiles[image], (x, y), (255, 50, 50), cv2.MARKER_CROSS, size // 32 + 2, 1 + size // 400)
    return np.concatenate(tiles, axis=1)
