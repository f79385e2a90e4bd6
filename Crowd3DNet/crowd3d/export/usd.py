"""Universal Scene Description with a skeleton and a skinned mesh per person, animated for sequences (openusd.org, UsdSkel)."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from crowd3d.bodies import Body
from crowd3d.bodies.joints import SMPL24_NAMES, SMPL_PARENTS
from crowd3d.errors import BadOutput, MissingAsset
from crowd3d.export import gltf
from crowd3d.export.backdrop import Backdrop, hang
from crowd3d.export.mesh import vertex_normals
from crowd3d.export.rig import Performer, ground_under, influences, rest_vertices
from crowd3d.files import atomic_path
from crowd3d.types import Scene

if TYPE_CHECKING:
    from pxr import Usd, UsdGeom, UsdSkel

RATE_HZ = 30.0
"""Time codes per second; pictures between two codes keep their exact time."""
_WORLD, _BODY, _MATERIALS = "/World", "/World/_body", "/World/materials"
_FRAME_WIDTH_M = 0.036
_TENTHS = 10.0
"""Lengths of a camera are in tenths of the scene's unit."""


def write_usd(
    path: Path,
    scene: Scene,
    people: Sequence[Performer],
    body: Body,
    colours: np.ndarray,
    photograph: np.ndarray | None = None,
) -> None:
    """Write ``.usda`` (text) or ``.usdc`` (binary) in the upright world.

    The stage has y up, z towards the viewer, metres, its origin on the ground under the camera. Everybody is a SkelRoot
    ``/World/person_<id>`` with ``skeleton``, ``animation`` and ``body``, whose rest pose is SMPL's T-pose; beside them are ``ground``,
    ``photograph_camera`` and ``photograph``. Who is not in sight in a sequence is invisible. Pose-dependent shape (official SMPL) is that
    of everybody's first picture.

    Args:
        path: file to write; its ending tells the kind.
        scene: camera and ground; of a sequence any of its scenes.
        people: N skeletons.
        body: the body that the betas belong to; a low level of detail keeps the file small.
        colours: (N, 3) uint8 RGB.
        photograph: (H, W, 3) uint8 RGB to hang behind the crowd, in the size that it is to have; it is written beside the file, as
            ``<name>_photograph.jpg``.

    Raises:
        MissingAsset: usd-core is not installed.
        BadOutput: the file cannot be written.
    """
    try:
        from pxr import Tf, Usd, UsdGeom
    except ImportError as error:
        raise MissingAsset("usd-core is not installed; pip install 'crowd3d[usd]'") from error
    stage = Usd.Stage.CreateInMemory()
    UsdGeom.SetStageUpAxis(stage, UsdGeom.Tokens.y)
    UsdGeom.SetStageMetersPerUnit(stage, 1.0)
    stage.SetDefaultPrim(UsdGeom.Xform.Define(stage, _WORLD).GetPrim())
    end_s = max(float(one.times_s[-1]) for one in people)
    if end_s > 0:
        stage.SetTimeCodesPerSecond(RATE_HZ)
        stage.SetFramesPerSecond(RATE_HZ)
        stage.SetStartTimeCode(0.0)
        stage.SetEndTimeCode(end_s * RATE_HZ)
    _add_shared(stage, body)
    for person, colour in zip(people, colours, strict=True):
        _add_person(stage, person, body, colour, end_s)
    ground = UsdGeom.Mesh.Define(stage, f"{_WORLD}/ground")
    ground.CreateFaceVertexCountsAttr([4])
    ground.CreateFaceVertexIndicesAttr([0, 1, 2, 3])
    _set_surface(ground, ground_under(people), np.tile(np.array([0, 1, 0], np.float32), (4, 1)))
    ground.CreateDoubleSidedAttr(True)
    _paint(stage, ground, "ground", gltf.GROUND_RGBA[:3])
    _add_camera(stage, scene)
    if photograph is not None:
        backdrop, picture = hang(scene, people, photograph), path.with_name(f"{path.stem}_photograph.jpg")
        with atomic_path(picture) as temporary:
            temporary.write_bytes(backdrop.jpeg)
        _add_photograph(stage, backdrop, f"./{picture.name}")
    with atomic_path(path) as temporary:
        try:
            stage.GetRootLayer().Export(str(temporary))
        except Tf.ErrorException as error:
            raise BadOutput(f"cannot write {path}; free space or choose another folder") from error


def _add_shared(stage: Usd.Stage, body: Body) -> None:
    """Triangles, and joints with weights, from which the meshes of all people inherit."""
    from pxr import UsdGeom, UsdSkel, Vt

    mesh = UsdGeom.Mesh(stage.CreateClassPrim(_BODY))
    mesh.CreateFaceVertexCountsAttr(Vt.IntArray(len(body.faces), 3))
    mesh.CreateFaceVertexIndicesAttr(Vt.IntArray.FromNumpy(body.faces.astype(np.int32).ravel()))
    joints, weights = influences(body)
    binding = UsdSkel.BindingAPI.Apply(mesh.GetPrim())
    binding.CreateJointIndicesPrimvar(False, joints.shape[1]).Set(Vt.IntArray.FromNumpy(joints.astype(np.int32).ravel()))
    binding.CreateJointWeightsPrimvar(False, joints.shape[1]).Set(Vt.FloatArray.FromNumpy(weights.ravel()))


def _add_person(stage: Usd.Stage, person: Performer, body: Body, colour: np.ndarray, end_s: float) -> None:
    from pxr import Gf, UsdGeom, UsdSkel

    root = UsdSkel.Root.Define(stage, f"{_WORLD}/{person.name}")
    skeleton = UsdSkel.Skeleton.Define(stage, root.GetPath().AppendChild("skeleton"))
    skeleton.CreateJointsAttr(_joint_paths())
    skeleton.CreateBindTransformsAttr([Gf.Matrix4d(1.0).SetTranslate(Gf.Vec3d(*place)) for place in person.rest_joints_m.tolist()])
    skeleton.CreateRestTransformsAttr([Gf.Matrix4d(1.0).SetTranslate(Gf.Vec3d(*bone)) for bone in person.bones_m.tolist()])
    _animate(skeleton, person, end_s)
    mesh = UsdGeom.Mesh.Define(stage, root.GetPath().AppendChild("body"))
    mesh.GetPrim().GetInherits().AddInherit(_BODY)
    rest = rest_vertices(person, body).astype(np.float32)
    _set_surface(mesh, rest, vertex_normals(rest[None], body.faces)[0].astype(np.float32))
    UsdSkel.BindingAPI.Apply(mesh.GetPrim()).CreateSkeletonRel().SetTargets([skeleton.GetPath()])
    _paint(stage, mesh, "rgb_{:02x}{:02x}{:02x}".format(*colour), gltf.linear(colour).tolist())
    moments = [(0.0, False)] * bool(person.times_s[0] > 0) + [(float(person.times_s[0]), True)]
    moments += [(float(person.times_s[-1]) + 1e-3, False)] * bool(person.times_s[-1] < end_s)
    if len(moments) > 1:
        shown = UsdGeom.Imageable(root).CreateVisibilityAttr()
        for time_s, there in moments:
            shown.Set(UsdGeom.Tokens.inherited if there else UsdGeom.Tokens.invisible, time_s * RATE_HZ)


def _joint_paths() -> list[str]:
    """Every joint by its way from the pelvis."""
    paths = [SMPL24_NAMES[0]]
    for name, parent in zip(SMPL24_NAMES[1:], SMPL_PARENTS[1:], strict=True):
        paths.append(f"{paths[parent]}/{name}")
    return paths


def _animate(skeleton: UsdSkel.Skeleton, person: Performer, end_s: float) -> None:
    """Rotations of all joints and way of the pelvis, as time samples, or of a photograph as the one value."""
    from pxr import Gf, Usd, UsdSkel, Vt

    animation = UsdSkel.Animation.Define(skeleton.GetPrim().GetStage(), skeleton.GetPath().ReplaceName("animation"))
    animation.CreateJointsAttr(_joint_paths())
    animation.CreateScalesAttr(Vt.Vec3hArray(24, Gf.Vec3h(1.0)))
    rotations, translations = animation.CreateRotationsAttr(), animation.CreateTranslationsAttr()
    turns = np.stack([person.quaternions(joint) for joint in range(24)], 1)
    places = person.bones_m.astype(np.float32)
    for time_s, turn, pelvis in zip(person.times_s.tolist(), turns.tolist(), person.pelvis_m, strict=True):
        places[0] = pelvis
        code = Usd.TimeCode(time_s * RATE_HZ) if end_s > 0 else Usd.TimeCode.Default()
        rotations.Set(Vt.QuatfArray([Gf.Quatf(w, x, y, z) for x, y, z, w in turn]), code)
        translations.Set(Vt.Vec3fArray.FromNumpy(places), code)
    UsdSkel.BindingAPI.Apply(skeleton.GetPrim()).CreateAnimationSourceRel().SetTargets([animation.GetPath()])


def _set_surface(mesh: UsdGeom.Mesh, points: np.ndarray, normals: np.ndarray) -> None:
    """(V, 3) float32 points and normals of a mesh that is not to be subdivided."""
    from pxr import UsdGeom, Vt

    array = Vt.Vec3fArray.FromNumpy(points)
    mesh.CreatePointsAttr(array)
    mesh.CreateExtentAttr(UsdGeom.PointBased.ComputeExtent(array))
    mesh.CreateNormalsAttr(Vt.Vec3fArray.FromNumpy(normals))
    mesh.SetNormalsInterpolation(UsdGeom.Tokens.vertex)
    mesh.CreateSubdivisionSchemeAttr(UsdGeom.Tokens.none)


def _paint(stage: Usd.Stage, mesh: UsdGeom.Mesh, name: str, linear: list[float]) -> None:
    """Bind the matt material of that name and colour, for programs that shade, and set the colour for those that only show."""
    from pxr import Gf, Sdf, UsdShade

    path = f"{_MATERIALS}/{name}"
    material = UsdShade.Material.Get(stage, path)
    if not material:
        material = UsdShade.Material.Define(stage, path)
        shader = UsdShade.Shader.Define(stage, f"{path}/surface")
        shader.CreateIdAttr("UsdPreviewSurface")
        shader.CreateInput("diffuseColor", Sdf.ValueTypeNames.Color3f).Set(Gf.Vec3f(linear))
        shader.CreateInput("roughness", Sdf.ValueTypeNames.Float).Set(0.9)
        material.CreateSurfaceOutput().ConnectToSource(shader.ConnectableAPI(), "surface")
    UsdShade.MaterialBindingAPI.Apply(mesh.GetPrim()).Bind(material)
    mesh.CreateDisplayColorAttr([Gf.Vec3f(linear)])


def _add_photograph(stage: Usd.Stage, backdrop: Backdrop, file: str) -> None:
    """The rectangle with the photograph as its texture, which shines by itself."""
    from pxr import Gf, Sdf, UsdGeom, UsdShade, Vt

    mesh = UsdGeom.Mesh.Define(stage, f"{_WORLD}/photograph")
    mesh.CreateFaceVertexCountsAttr([4])
    mesh.CreateFaceVertexIndicesAttr([0, 3, 2, 1])
    right, down = (backdrop.corners[row] - backdrop.corners[0] for row in (1, 3))
    towards = np.cross(down, right)
    _set_surface(mesh, backdrop.corners, np.tile(towards / np.linalg.norm(towards), (4, 1)).astype(np.float32))
    mesh.CreateDoubleSidedAttr(True)
    where = UsdGeom.PrimvarsAPI(mesh).CreatePrimvar("st", Sdf.ValueTypeNames.TexCoord2fArray, UsdGeom.Tokens.vertex)
    where.Set(Vt.Vec2fArray([Gf.Vec2f(0, 1), Gf.Vec2f(1, 1), Gf.Vec2f(1, 0), Gf.Vec2f(0, 0)]))
    path = f"{_MATERIALS}/photograph"
    material = UsdShade.Material.Define(stage, path)
    reader, texture, shader = (UsdShade.Shader.Define(stage, f"{path}/{name}") for name in ("st", "texture", "surface"))
    reader.CreateIdAttr("UsdPrimvarReader_float2")
    reader.CreateInput("varname", Sdf.ValueTypeNames.String).Set("st")
    texture.CreateIdAttr("UsdUVTexture")
    texture.CreateInput("file", Sdf.ValueTypeNames.Asset).Set(file)
    texture.CreateInput("sourceColorSpace", Sdf.ValueTypeNames.Token).Set("sRGB")
    for axis in ("wrapS", "wrapT"):
        texture.CreateInput(axis, Sdf.ValueTypeNames.Token).Set("clamp")
    coordinates = reader.CreateOutput("result", Sdf.ValueTypeNames.Float2)
    texture.CreateInput("st", Sdf.ValueTypeNames.Float2).ConnectToSource(coordinates)
    shader.CreateIdAttr("UsdPreviewSurface")
    shader.CreateInput("diffuseColor", Sdf.ValueTypeNames.Color3f).Set(Gf.Vec3f(0.0))
    shader.CreateInput("roughness", Sdf.ValueTypeNames.Float).Set(1.0)
    colour = texture.CreateOutput("rgb", Sdf.ValueTypeNames.Float3)
    shader.CreateInput("emissiveColor", Sdf.ValueTypeNames.Color3f).ConnectToSource(colour)
    material.CreateSurfaceOutput().ConnectToSource(shader.ConnectableAPI(), "surface")
    UsdShade.MaterialBindingAPI.Apply(mesh.GetPrim()).Bind(material)


def _add_camera(stage: Usd.Stage, scene: Scene) -> None:
    """The photograph's camera, its principal point included, as if it had a frame of 36 mm width."""
    from pxr import Gf, UsdGeom

    lens = scene.camera
    camera = UsdGeom.Camera.Define(stage, f"{_WORLD}/photograph_camera")
    # USD and glTF have the same axes; sixteen numbers of a column-major matrix are those of a row-major one for row vectors.
    camera.AddTransformOp().Set(Gf.Matrix4d(*gltf.camera_matrix(scene)))
    focal = _TENTHS * _FRAME_WIDTH_M * lens.fx / lens.width
    across, down = focal / lens.fx, focal / lens.fy
    camera.CreateFocalLengthAttr(focal)
    camera.CreateHorizontalApertureAttr(across * lens.width)
    camera.CreateVerticalApertureAttr(down * lens.height)
    camera.CreateHorizontalApertureOffsetAttr(across * (lens.width / 2.0 - lens.cx))
    camera.CreateVerticalApertureOffsetAttr(down * (lens.cy - lens.height / 2.0))
    camera.CreateClippingRangeAttr(Gf.Vec2f(0.1, 10_000.0))
