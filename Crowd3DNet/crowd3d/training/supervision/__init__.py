"""Teaching Crowd3DNet: labelled samples, targets, matching and the terms of the loss. For training and for per-scene fine-tuning."""

from crowd3d.training.supervision.averages import Averaged, alone, masked_mean
from crowd3d.training.supervision.pose_losses import PosePriorGmm
from crowd3d.training.supervision.samples import MAX_PEOPLE, Batch, Label, Sample, collate
from crowd3d.training.supervision.supervise import LossWeights, supervise, weigh

__all__ = [
    "MAX_PEOPLE",
    "Averaged",
    "Batch",
    "Label",
    "LossWeights",
    "PosePriorGmm",
    "Sample",
    "alone",
    "collate",
    "masked_mean",
    "supervise",
    "weigh",
]
