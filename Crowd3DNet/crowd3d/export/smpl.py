"""Official SMPL's parameters of everybody as Meshcapade's ``.smpl`` files and ``.mcs`` scenes, by their package smplcodec."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from crowd3d.bodies import Body
from crowd3d.bodies.assets import GENDERS
from crowd3d.errors import MissingAsset
from crowd3d.export.rig import Performer
from crowd3d.files import atomic_path
from crowd3d.types import Scene

if TYPE_CHECKING:
    from smplcodec import SMPLCodec


class _Part(NamedTuple):
    """Somebody's motion, and the frame of the sequence that it begins with."""

    first: int
    motion: SMPLCodec


def write_smpl(folder: Path, people: Sequence[Performer], body: Body, rate_hz: float = 30.0) -> list[Path]:
    """Write ``person_<id>.smpl`` for everybody.

    The world has y up, z towards the viewer, metres, its origin on the ground under the camera.

    Args:
        folder: where to write.
        people: skeletons.
        body: official SMPL, which the betas belong to.
        rate_hz: frames per second of a sequence.

    Returns:
        The files.

    Raises:
        MissingAsset: smplcodec is not installed, or the body is none that the format knows.
        BadOutput: the folder cannot be written.
    """
    written = []
    for person, part in zip(people, _parts(people, body, rate_hz), strict=True):
        path = Path(folder) / f"{person.name}.smpl"
        with atomic_path(path) as temporary:
            part.motion.write(temporary)
        written.append(path)
    return written


def write_mcs(path: Path, scene: Scene, people: Sequence[Performer], body: Body, rate_hz: float = 30.0) -> None:
    """Write everybody and the photograph's camera as one ``.mcs`` scene, in the world of `write_smpl`.

    The format has neither a principal point nor pixels that are not square: the middle of the picture and the height's focal length hold.

    Args:
        path: file to write.
        scene: camera and ground; of a sequence any of its scenes.
        people: skeletons.
        body: official SMPL, which the betas belong to.
        rate_hz: frames per second of a sequence.

    Raises:
        MissingAsset: smplcodec is not installed, or the body is none that the format knows.
        BadOutput: the file cannot be written.
    """
    parts = _parts(people, body, rate_hz)
    from smplcodec.mcs import CameraIntrinsics, CameraPose, SceneExporter

    camera, ground = scene.camera, scene.ground
    high = np.rad2deg(2.0 * np.arctan2(camera.height / 2.0, camera.fy))
    lens = CameraIntrinsics(yfov_deg=float(high), aspect_ratio=camera.width / camera.height)
    pose = CameraPose(ground.rotation_cam_world, ground.from_world(np.zeros(3)))
    presences = [[part.first, part.first + part.motion.frame_count] for part in parts]
    motions, frames = [part.motion for part in parts], max(end for _, end in presences)
    with atomic_path(path) as temporary:
        SceneExporter().export_static_camera_scene(motions, presences, temporary, frames, rate_hz, lens, pose)


def _parts(people: Sequence[Performer], body: Body, rate_hz: float) -> list[_Part]:
    """Everybody at regular times; frame 0 is the first picture."""
    gender = body.name.removeprefix("smpl_")
    if gender not in GENDERS:
        raise MissingAsset(f"these people have the body {body.name}, which .smpl and .mcs do not know; reconstruct them with official SMPL")
    try:
        from smplcodec import SMPLCodec, SMPLGender, SMPLVersion
    except ImportError as error:
        raise MissingAsset("smplcodec is not installed; pip install 'crowd3d[smplcodec]'") from error
    parts = []
    for person in people:
        first, last = (round(float(time_s) * rate_hz) for time_s in person.times_s[[0, -1]])
        moving = person.at(np.arange(first, last + 1) / rate_hz)
        motion = SMPLCodec(
            smpl_version=SMPLVersion.SMPL,
            gender=SMPLGender.from_string(gender),
            shape_parameters=person.betas,
            frame_count=last - first + 1,
            frame_rate=rate_hz,
            # SMPL turns about the pelvis of the rest pose, wherever the shape puts it.
            body_translation=moving.pelvis_m - person.rest_joints_m[0],
            body_pose=np.stack([rotations.as_rotvec() for rotations in moving.rotations], 1),
        )
        parts.append(_Part(first, motion))
    return parts
