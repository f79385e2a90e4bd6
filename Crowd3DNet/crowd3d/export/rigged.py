"""Binary glTF 2.0 with a skeleton per person, animated for sequences."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from crowd3d.bodies import Body
from crowd3d.bodies.joints import SMPL24_NAMES, SMPL_PARENTS
from crowd3d.export import gltf
from crowd3d.export.backdrop import Backdrop, hang
from crowd3d.export.glb import ground_primitive
from crowd3d.export.mesh import vertex_normals
from crowd3d.export.rig import Performer, ground_under, influences, rest_vertices
from crowd3d.types import Scene

_PER_SET = 4


def write_rigged_glb(
    path: Path,
    scene: Scene,
    people: Sequence[Performer],
    body: Body,
    colours: np.ndarray,
    photograph: np.ndarray | None = None,
) -> None:
    """Write ``.glb`` in the upright world: y up, z towards the viewer, metres, origin on the ground under the camera.

    Everybody is a node ``person_<id>`` that carries a skeleton of 24 joints ``person_<id>_<joint>``, whose rest pose is SMPL's T-pose, and
    a node ``person_<id>_body`` with the mesh and its skin; one more node each for ground, camera and photograph. Of sequences there is one
    animation; who is not in sight is scaled to nothing. Pose-dependent shape (official SMPL) is that of everybody's first picture.

    Args:
        path: file to write.
        scene: camera and ground; of a sequence any of its scenes.
        people: N skeletons.
        body: the body that the betas belong to; a low level of detail keeps the file small.
        colours: (N, 3) uint8 RGB.
        photograph: (H, W, 3) uint8 RGB to hang behind the crowd, in the size that it is to have in the file.

    Raises:
        BadOutput: the folder cannot be written.
    """
    document: dict[str, Any] = {
        "asset": {"version": "2.0", "generator": "crowd3d"},
        "scene": 0,
        "scenes": [{"name": scene.image, "nodes": []}],
        "nodes": [],
        "meshes": [],
        "skins": [],
        "materials": [],
        "cameras": [gltf.camera_json(scene)],
    }
    buffer = gltf.Buffer()
    shared = _shared(body, buffer)
    channels: list[dict[str, Any]] = []
    samplers: list[dict[str, Any]] = []
    end_s = max(float(one.times_s[-1]) for one in people)
    for person, colour in zip(people, colours, strict=True):
        root = _add_person(document, buffer, person, body, shared, colour)
        if end_s > 0:
            _animate(channels, samplers, buffer, person, root, end_s)
    if channels:
        document["animations"] = [{"name": "sequence", "channels": channels, "samplers": samplers}]
    _add_ground(document, buffer, people)
    _add_node(document, {"name": "photograph_camera", "camera": 0, "matrix": gltf.camera_matrix(scene)})
    if photograph is not None:
        _add_photograph(document, buffer, hang(scene, people, photograph))
    gltf.save_glb(path, document, buffer)


def _add_node(document: dict[str, Any], node: dict[str, Any], top: bool = True) -> int:
    document["nodes"].append(node)
    if top:
        document["scenes"][0]["nodes"].append(len(document["nodes"]) - 1)
    return len(document["nodes"]) - 1


def _shared(body: Body, buffer: gltf.Buffer) -> dict[str, int]:
    """Accessors that all people use: triangles, and joints with weights, strongest first, four per set."""
    joints, weights = influences(body, _PER_SET)
    shared = {"indices": buffer.add(body.faces.astype(np.uint32), gltf.UINT, "SCALAR", gltf.ELEMENT)}
    for number in range(joints.shape[1] // _PER_SET):
        part = slice(_PER_SET * number, _PER_SET * (number + 1))
        shared[f"JOINTS_{number}"] = buffer.add(joints[:, part], gltf.UBYTE, "VEC4", gltf.ARRAY)
        shared[f"WEIGHTS_{number}"] = buffer.add(weights[:, part], gltf.FLOAT, "VEC4", gltf.ARRAY)
    return shared


def _add_person(
    document: dict[str, Any], buffer: gltf.Buffer, person: Performer, body: Body, shared: dict[str, int], colour: np.ndarray
) -> int:
    """Mesh, skin and nodes of one person in the first pose; returns the node of the pelvis."""
    rest = rest_vertices(person, body).astype(np.float32)
    inverse = np.tile(np.eye(4, dtype=np.float32), (24, 1, 1))
    inverse[:, :3, 3] = -person.rest_joints_m
    root = len(document["nodes"])
    children = [np.flatnonzero(joint == SMPL_PARENTS) for joint in range(24)]
    for joint in range(24):
        place = person.pelvis_m[0] if joint == 0 else person.bones_m[joint]
        turn = person.rotations[joint].as_quat()[0]
        node: dict[str, Any] = {"name": f"{person.name}_{SMPL24_NAMES[joint]}", "translation": place.tolist(), "rotation": turn.tolist()}
        if len(children[joint]):
            node["children"] = (root + children[joint]).tolist()
        _add_node(document, node, top=False)
    # Programs with armatures make one of all joints below a node: skeletons that hung on the scene itself would become one together.
    _add_node(document, {"name": person.name, "children": [root]})
    attributes = {name: number for name, number in shared.items() if name != "indices"}
    attributes["POSITION"] = buffer.add_positions(rest)
    attributes["NORMAL"] = buffer.add(vertex_normals(rest[None], body.faces)[0].astype(np.float32), gltf.FLOAT, "VEC3", gltf.ARRAY)
    surface = _material(document, colour)
    primitive = {"attributes": attributes, "indices": shared["indices"], "material": surface}
    document["meshes"].append({"name": person.name, "primitives": [primitive]})
    bind = buffer.add(np.swapaxes(inverse, 1, 2), gltf.FLOAT, "MAT4")
    skin = {"name": person.name, "joints": list(range(root, root + 24)), "skeleton": root, "inverseBindMatrices": bind}
    document["skins"].append(skin)
    _add_node(document, {"name": f"{person.name}_body", "mesh": len(document["meshes"]) - 1, "skin": len(document["skins"]) - 1})
    return root


def _material(document: dict[str, Any], colour: np.ndarray) -> int:
    """Row of the material of that colour."""
    name = "#{:02x}{:02x}{:02x}".format(*colour)
    names = [one["name"] for one in document["materials"]]
    if name not in names:
        document["materials"].append(gltf.material(name, [*gltf.linear(colour).tolist(), 1.0], False))
        return len(names)
    return names.index(name)


def _animate(
    channels: list[dict[str, Any]], samplers: list[dict[str, Any]], buffer: gltf.Buffer, person: Performer, root: int, end_s: float
) -> None:
    """Rotations of all joints, way of the pelvis, and a scale that is nothing before the first and after the last picture."""
    times = person.times_s.astype(np.float32)

    def track(stamps: int, values: int, node: int, what: str, how: str) -> None:
        samplers.append({"input": stamps, "output": values, "interpolation": how})
        channels.append({"sampler": len(samplers) - 1, "target": {"node": node, "path": what}})

    stamps = buffer.add(times, gltf.FLOAT, "SCALAR", min=[float(times[0])], max=[float(times[-1])])
    track(stamps, buffer.add(person.pelvis_m.astype(np.float32), gltf.FLOAT, "VEC3"), root, "translation", "LINEAR")
    for joint in range(24):
        turn = person.quaternions(joint).astype(np.float32)
        track(stamps, buffer.add(turn, gltf.FLOAT, "VEC4"), root + joint, "rotation", "LINEAR")
    before, after = bool(person.times_s[0] > 0), bool(person.times_s[-1] < end_s)
    there = [(0.0, 0.0)] * before + [(float(times[0]), 1.0)] + [(float(times[-1]) + 1e-3, 0.0)] * after
    if len(there) > 1:
        moments, sizes = np.array(there, np.float32).T
        begin = buffer.add(moments, gltf.FLOAT, "SCALAR", min=[float(moments[0])], max=[float(moments[-1])])
        track(begin, buffer.add(np.repeat(sizes[:, None], 3, 1), gltf.FLOAT, "VEC3"), root, "scale", "STEP")


def _add_ground(document: dict[str, Any], buffer: gltf.Buffer, people: Sequence[Performer]) -> None:
    document["materials"].append(gltf.material("ground", gltf.GROUND_RGBA, True))
    primitive = ground_primitive(buffer, ground_under(people), len(document["materials"]) - 1)
    document["meshes"].append({"name": "ground", "primitives": [primitive]})
    _add_node(document, {"name": "ground", "mesh": len(document["meshes"]) - 1})


def _add_photograph(document: dict[str, Any], buffer: gltf.Buffer, backdrop: Backdrop) -> None:
    """The rectangle with the photograph as its texture, unlit."""
    view = buffer.add_bytes(backdrop.jpeg)
    document["images"] = [{"name": "photograph", "bufferView": view, "mimeType": "image/jpeg"}]
    document["textures"] = [{"source": 0}]
    document["extensionsUsed"] = ["KHR_materials_unlit"]
    surface = {"baseColorTexture": {"index": 0}, "metallicFactor": 0.0, "roughnessFactor": 1.0}
    unlit = {"name": "photograph", "pbrMetallicRoughness": surface, "doubleSided": True, "extensions": {"KHR_materials_unlit": {}}}
    document["materials"].append(unlit)
    texture = buffer.add(np.array([[0, 0], [1, 0], [1, 1], [0, 1]], np.float32), gltf.FLOAT, "VEC2", gltf.ARRAY)
    primitive = {
        "attributes": {"POSITION": buffer.add_positions(backdrop.corners), "TEXCOORD_0": texture},
        "indices": buffer.add(np.array([0, 2, 1, 0, 3, 2], np.uint32), gltf.UINT, "SCALAR", gltf.ELEMENT),
        "material": len(document["materials"]) - 1,
    }
    document["meshes"].append({"name": "photograph", "primitives": [primitive]})
    _add_node(document, {"name": "photograph", "mesh": len(document["meshes"]) - 1})
