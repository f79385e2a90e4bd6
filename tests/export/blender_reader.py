"""What Blender makes of our files. A program of its own: ``python blender_reader.py OUT.npz TIME… -- FILE…`` (.glb and .bvh).

Arrays are named ``<file>/<object>/<what>``; axes are those of glTF again: y up, z towards the viewer.
"""

from __future__ import annotations

import sys
from pathlib import Path

import bpy
import numpy as np


def upright(points: np.ndarray) -> np.ndarray:
    """(..., 3) x, y into the screen, z up → y up, z towards the viewer."""
    return np.stack([points[..., 0], points[..., 2], -points[..., 1]], -1)


def mesh_of(thing, graph) -> np.ndarray:
    """(V, 3) vertices in the world after all modifiers."""
    evaluated = thing.evaluated_get(graph)
    place = np.array(evaluated.matrix_world)
    points = np.array([vertex.co for vertex in evaluated.to_mesh().vertices])
    return upright(points @ place[:3, :3].T + place[:3, 3])


def joints_of(armature, graph) -> np.ndarray:
    """(J, 3) heads of the bones in the world, in the order of the bones' names."""
    evaluated = armature.evaluated_get(graph)
    bones = sorted(evaluated.pose.bones, key=lambda bone: bone.name)
    return upright(np.array([evaluated.matrix_world @ bone.head for bone in bones]))


def read(path: Path, times_s: list[float]) -> dict[str, np.ndarray]:
    """Everything in one file at these times."""
    bpy.ops.wm.read_factory_settings(use_empty=True)
    if path.suffix == ".glb":
        bpy.ops.import_scene.gltf(filepath=str(path))
        first = 0.0
    else:
        bpy.ops.import_anim.bvh(filepath=str(path), global_scale=0.01, update_scene_fps=True)
        first = 1.0
    scene, found = bpy.context.scene, {}
    rate = scene.render.fps / scene.render.fps_base
    for number, time_s in enumerate(times_s):
        frame = first + time_s * rate
        scene.frame_set(int(frame // 1), subframe=frame % 1)
        graph = bpy.context.evaluated_depsgraph_get()
        for thing in scene.objects:
            if thing.type == "ARMATURE":
                found[f"{thing.name}/bones"] = np.array(sorted(bone.name for bone in thing.data.bones))
                found[f"{thing.name}/joints/{number}"] = joints_of(thing, graph)
            elif thing.type == "MESH":
                found[f"{thing.name}/mesh/{number}"] = mesh_of(thing, graph)
                images = [node.image for slot in thing.material_slots for node in slot.material.node_tree.nodes if node.type == "TEX_IMAGE"]
                found[f"{thing.name}/images"] = np.array([image.size for image in images])
            elif thing.type == "CAMERA":
                found[f"{thing.name}/view_rad"] = np.array([thing.data.angle_x, thing.data.angle_y])
                found[f"{thing.name}/place"] = upright(np.array(thing.matrix_world.translation))
    return {f"{path.name}/{name}": value for name, value in found.items()}


if __name__ == "__main__":
    cut = sys.argv.index("--")
    moments = [float(text) for text in sys.argv[2:cut]]
    arrays = [read(Path(name), moments) for name in sys.argv[cut + 1 :]]
    np.savez(sys.argv[1], **{name: value for one in arrays for name, value in one.items()})
