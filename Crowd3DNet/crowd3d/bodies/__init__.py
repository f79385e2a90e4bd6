"""Bodies in SMPL's layout: loading, posing, joint names, statures."""

from __future__ import annotations

from typing import TYPE_CHECKING

from crowd3d.bodies.joints import (
    COCO17_FLIP,
    COCO17_FROM_SMPL54,
    COCO17_LIMBS,
    COCO17_NAMES,
    H36M17_NAMES,
    PELVIS54,
    SMPL24_NAMES,
    SMPL54_NAMES,
    SMPL_PARENTS,
    SMPL_POSE_FLIP,
    TORSO54,
    mirror_pose,
    torso_centre,
)
from crowd3d.bodies.population import ADULT_STATURE_M, YOUTH_AXIS, adult_betas, child_betas

if TYPE_CHECKING:
    from crowd3d.bodies.assets import load_body
    from crowd3d.bodies.body import Body, BodyOutput

__all__ = [
    "ADULT_STATURE_M",
    "COCO17_FLIP",
    "COCO17_FROM_SMPL54",
    "COCO17_LIMBS",
    "COCO17_NAMES",
    "H36M17_NAMES",
    "PELVIS54",
    "SMPL24_NAMES",
    "SMPL54_NAMES",
    "SMPL_PARENTS",
    "SMPL_POSE_FLIP",
    "TORSO54",
    "YOUTH_AXIS",
    "Body",
    "BodyOutput",
    "adult_betas",
    "child_betas",
    "load_body",
    "mirror_pose",
    "torso_centre",
]


def __getattr__(name: str) -> object:
    # Names of joints need no PyTorch, which takes two seconds to import.
    if name == "load_body":
        from crowd3d.bodies import assets

        return assets.load_body
    if name in ("Body", "BodyOutput"):
        from crowd3d.bodies import body

        return getattr(body, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
