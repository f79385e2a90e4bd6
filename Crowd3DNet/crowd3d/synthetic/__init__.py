"""Procedural crowds with exact ground truth."""

from crowd3d.synthetic.crop import Crop, sample_crop
from crowd3d.synthetic.people import sample_skeletons
from crowd3d.synthetic.picture_truth import PictureTruth

__all__ = ["Crop", "PictureTruth", "sample_crop", "sample_skeletons"]
