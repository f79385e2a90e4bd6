"""Camera and ground plane of a crowd photograph, and how sure they are."""

from crowd3d.ground.estimate import GroundEstimate, estimate_ground
from crowd3d.ground.knowns import Knowns
from crowd3d.ground.levels import Levels, OtherLevels, estimate_levels, find_levels
from crowd3d.ground.lines import detect_lines
from crowd3d.ground.opinion import Opinion, OpinionSource
from crowd3d.ground.plausible import check_below_horizon, check_inside
from crowd3d.ground.release_files import read_release_ground, trans_ground, write_release_files, write_release_ground
from crowd3d.ground.stature import JOINT_CENTRE_SPAN, LANDMARKS, POPULATION_SIGMA, StaturePrior
from crowd3d.ground.uncertainty import HVIP_SIGMA_M, ground_position_covariance, half_axes_95

__all__ = [
    "HVIP_SIGMA_M",
    "JOINT_CENTRE_SPAN",
    "LANDMARKS",
    "POPULATION_SIGMA",
    "GroundEstimate",
    "Knowns",
    "Levels",
    "Opinion",
    "OpinionSource",
    "OtherLevels",
    "StaturePrior",
    "check_below_horizon",
    "check_inside",
    "detect_lines",
    "estimate_ground",
    "estimate_levels",
    "find_levels",
    "ground_position_covariance",
    "half_axes_95",
    "read_release_ground",
    "trans_ground",
    "write_release_files",
    "write_release_ground",
]
