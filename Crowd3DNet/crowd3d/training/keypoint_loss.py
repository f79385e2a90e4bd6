"""Loss of the keypoint network."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from crowd3d.model.crop_points import STRIDE, TORSO

TARGET_SIGMA_CELLS = 0.9


def keypoint_loss(
    heat: Tensor, attributes: Tensor, xy_px: Tensor, visibility: Tensor, depth_m: Tensor, present: Tensor
) -> dict[str, Tensor]:
    """Terms of a batch, already weighted.

    Args:
        heat, attributes: outputs of `KeypointNet`.
        xy_px: (B, 19, 2) true points, crop pixels.
        visibility: (B, 19) 2 seen, 1 hidden, 0 unknown; points outside of the crop do not count.
        depth_m: (B, 19) true depths behind the torso centre.
        present: (B,) bool, false for crops without a person in the middle.

    Returns:
        heat: cross-entropy with a Gaussian; depth: Laplace likelihood; visible, present: binary cross-entropies.
    """
    height, width = heat.shape[-2:]
    cell = xy_px / STRIDE - 0.5
    inside = (cell > -0.5).all(-1) & (cell[..., 0] < width - 0.5) & (cell[..., 1] < height - 0.5) & present[:, None]
    weight = inside * torch.where(visibility == 2, 1.0, torch.where(visibility == 1, 0.5, 0.0))
    total = weight.sum().clamp(min=1.0)
    along_x = torch.exp(-((torch.arange(width, device=heat.device) - cell[..., :1]) ** 2) / (2 * TARGET_SIGMA_CELLS**2))
    along_y = torch.exp(-((torch.arange(height, device=heat.device) - cell[..., 1:]) ** 2) / (2 * TARGET_SIGMA_CELLS**2))
    target = (along_y[..., :, None] * along_x[..., None, :]).flatten(2)
    target = target / target.sum(-1, keepdim=True).clamp(min=1e-6)
    cross_entropy = -(target * heat.flatten(2).log_softmax(-1)).sum(-1)
    log_sigma = attributes[..., 2].clamp(-5.0, 2.0)
    depth = (attributes[..., 1] - depth_m).abs() * torch.exp(-log_sigma) + log_sigma
    joints = inside[:, :TORSO]
    visible = F.binary_cross_entropy_with_logits(attributes[:, :TORSO, 0], (visibility[:, :TORSO] == 2).float(), reduction="none")
    return {
        "heat": (cross_entropy * weight).sum() / total,
        "depth": 0.2 * (depth * weight).sum() / total,
        "visible": 0.3 * (visible * joints).sum() / joints.sum().clamp(min=1),
        "present": 0.3 * F.binary_cross_entropy_with_logits(attributes[:, TORSO, 0], present.float()),
    }
