"""Recordings for the viewer of rerun (rerun.io): everybody as a mesh, the photograph's camera, and time."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from crowd3d.bodies import Body
from crowd3d.errors import MissingAsset
from crowd3d.export.rig import Shot
from crowd3d.files import atomic_path

TIMELINE = "picture_time"


def write_rrd(path: Path, shots: Sequence[Shot], colours: dict[int, np.ndarray], body: Body, photograph: np.ndarray | None = None) -> None:
    """Write ``.rrd`` in the upright world: y up, z towards the viewer, metres, origin on the ground under the camera.

    Entities are ``world/person_<id>`` and ``world/camera``; who is not in a picture is cleared there.

    Args:
        path: file to write.
        shots: one or many pictures of one camera, in the order of time.
        colours: id → (3,) uint8 RGB.
        body: the body that the betas belong to; a low level of detail keeps the file small.
        photograph: (H, W, 3) uint8 RGB to hang before the camera, in the size that it is to have in the file.

    Raises:
        MissingAsset: rerun-sdk is not installed.
        BadOutput: the folder cannot be written.
    """
    try:
        import rerun as rr
    except ImportError as error:
        raise MissingAsset("rerun-sdk is not installed; pip install 'crowd3d[rerun]'") from error
    with atomic_path(path) as temporary, rr.RecordingStream("crowd3d", recording_id=shots[0].scene.image) as recording:
        recording.save(temporary)
        recording.log("world", rr.ViewCoordinates.RIGHT_HAND_Y_UP, static=True)
        ground, camera = shots[0].scene.ground, shots[0].scene.camera
        scale = 1.0 if photograph is None else photograph.shape[1] / camera.width
        lens = np.diag([scale, scale, 1.0]) @ camera.K
        pose = rr.Transform3D(translation=ground.to_world(np.zeros(3)), mat3x3=ground.rotation_cam_world.T)
        size = [camera.width * scale, camera.height * scale]
        recording.log("world/camera", pose, rr.Pinhole(image_from_camera=lens, resolution=size), static=True)
        if photograph is not None:
            recording.log("world/camera", rr.Image(photograph).compress(), static=True)
        before: set[int] = set()
        for shot in shots:
            recording.set_time(TIMELINE, duration=shot.time_s)
            for id_ in sorted(before - set(shot.ids.tolist())):
                recording.log(f"world/person_{id_}", rr.Clear(recursive=False))
            before = set(shot.ids.tolist())
            vertices = shot.scene.ground.to_world(shot.scene.people.vertices_cam_m(body))
            for id_, one in zip(shot.ids.tolist(), vertices, strict=True):
                shape = rr.Mesh3D(vertex_positions=one, triangle_indices=body.faces, albedo_factor=colours[id_])
                recording.log(f"world/person_{id_}", shape)
