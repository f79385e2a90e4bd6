"""2D keypoints of everybody: merging across tiles, filtering, AlphaPose's files."""

from crowd3d.pose.alphapose_json import read_alphapose, tiles_with_people, write_alphapose, write_optim_annotations, write_tiles_with_people
from crowd3d.pose.filtering import Posture, is_upright, posture
from crowd3d.pose.nms import suppress
from crowd3d.pose.tile_merging import merge_keypoints

__all__ = [
    "Posture",
    "is_upright",
    "merge_keypoints",
    "posture",
    "read_alphapose",
    "suppress",
    "tiles_with_people",
    "write_alphapose",
    "write_optim_annotations",
    "write_tiles_with_people",
]
