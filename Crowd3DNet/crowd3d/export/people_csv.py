"""A table of the people: one row each, positions on the ground in metres."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from crowd3d.bodies import Body
from crowd3d.files import atomic_path
from crowd3d.scene.heading import facing_deg
from crowd3d.types import Scene

HEADER = "id,x_m,z_m,stature_m,facing_deg,hvip_u_px,hvip_v_px,score,off_ground_m"


def write_people_csv(path: Path, scene: Scene, body: Body) -> None:
    """Write id, x and z in the upright world (z towards the viewer), stature, facing direction, HVIP pixel, score, and metres between the
    lowest point and the ground or level.

    Raises:
        BadOutput: the folder cannot be written.
    """
    people = scene.people
    world = scene.ground.to_world(people.hvip_cam_m)
    person = [np.arange(len(people)), world[:, 0], world[:, 2], body.stature_m(people.betas), facing_deg(scene)]
    columns = [*person, *people.hvip_px.T, people.score, people.off_ground_m]
    with atomic_path(Path(path)) as temporary:
        np.savetxt(temporary, np.stack(columns, -1), "%d,%.3f,%.3f,%.3f,%.1f,%.2f,%.2f,%.4f,%.3f", header=HEADER, comments="")
