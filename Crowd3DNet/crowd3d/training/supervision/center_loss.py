"""Loss of the centre head."""

from __future__ import annotations

from torch import Tensor

from crowd3d.training.supervision.averages import Averaged, alone, masked_mean

CLIP = 1e-6


def center_map_loss(predicted: Tensor, target: Tensor, counted: Tensor, complete: Tensor, averaged: Averaged = alone) -> Tensor:
    """Focal loss of Law and Deng, CornerNet (ECCV 2018), on raw centre maps; mean over complete images.

    An image without people counts 0 in the release; here it still teaches that nobody is there.

    Args:
        predicted: (B, 1, h, w) raw values; only the logarithms see them clipped.
        target: (B, 1, h, w), 1 at centres.
        counted: (B, 1, h, w) bool, cells that may count as background.
        complete: (B,) bool, everybody in the image is annotated.
    """
    clipped = predicted.clamp(CLIP, 1 - CLIP)
    centre = target == 1
    found = clipped.log() * (1 - predicted).square()
    background = (1 - clipped).log() * predicted.square() * (1 - target) ** 4 * counted
    loss = -found.where(centre, background).flatten(1).sum(1)
    centres = centre.flatten(1).sum(1)
    return masked_mean(loss / centres.clamp(min=1), complete, averaged)
