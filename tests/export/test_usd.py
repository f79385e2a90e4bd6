"""Stages of Universal Scene Description, opened and deformed by the format's own library."""

from __future__ import annotations

import sys
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path

import cv2
import made_sequence as made
import numpy as np
import pytest

from crowd3d.bodies.joints import SMPL24_NAMES
from crowd3d.cli.main import main
from crowd3d.export import write_usd
from crowd3d.export.rig import Shot, performers
from crowd3d.render.colours import HUES

needs_usd = pytest.mark.skipif(find_spec("pxr") is None, reason="usd-core is not installed")


def skinned(stage, name: str, time: float) -> np.ndarray:
    """(V, 3) points of somebody, deformed by UsdSkel, in the world."""
    from pxr import Usd, UsdGeom, UsdSkel, Vt

    root = UsdSkel.Root.Get(stage, f"/World/{name}")
    cache = UsdSkel.Cache()
    cache.Populate(root, Usd.PrimDefaultPredicate)
    (binding,) = cache.ComputeSkelBindings(root, Usd.PrimDefaultPredicate)
    (skinning,) = binding.GetSkinningTargets()
    points = Vt.Vec3fArray(UsdGeom.Mesh(skinning.GetPrim()).GetPointsAttr().Get())
    transforms = cache.GetSkelQuery(binding.GetSkeleton()).ComputeSkinningTransforms(time)
    assert skinning.ComputeSkinnedPoints(transforms, points, time)
    place = np.array(UsdGeom.XformCache(time).GetLocalToWorldTransform(skinning.GetPrim()))
    np.testing.assert_allclose(place, np.eye(4))
    return np.array(points)


@needs_usd
def test_a_photograph(tmp_path: Path) -> None:
    from pxr import Gf, Usd, UsdGeom, UsdShade, UsdSkel

    scene, ids = made.scene_at(1)
    # The principal point is not in the middle, pixels are not square.
    camera = replace(scene.camera, fy=1400.0, cx=1000.0, cy=900.0)
    people = performers([Shot(0.0, scene, ids)], made.body())
    write_usd(tmp_path / "crowd.usda", replace(scene, camera=camera), people, made.body(), HUES[: len(ids)])
    assert (tmp_path / "crowd.usda").read_bytes().startswith(b"#usda 1.0")
    stage = Usd.Stage.Open(str(tmp_path / "crowd.usda"))
    assert UsdGeom.GetStageUpAxis(stage) == "Y"
    assert UsdGeom.GetStageMetersPerUnit(stage) == 1.0
    assert not stage.HasAuthoredTimeCodeRange()
    names = {prim.GetName() for prim in stage.GetDefaultPrim().GetChildren()}
    assert names == {"person_0", "person_1", "person_2", "person_3", "ground", "materials", "photograph_camera"}
    for id_ in ids:
        np.testing.assert_allclose(skinned(stage, f"person_{id_}", 0.0), made.mesh_of(1, id_), atol=1e-4)
    skeleton = UsdSkel.Skeleton.Get(stage, "/World/person_2/skeleton")
    joints = list(skeleton.GetJointsAttr().Get())
    assert [joint.rsplit("/", 1)[-1] for joint in joints] == list(SMPL24_NAMES)
    valid, reason = UsdSkel.Topology(joints).Validate()
    assert valid, reason
    # At rest the joints are where they were bound, so that the mesh is the rest shape.
    rest, bind = skeleton.GetRestTransformsAttr().Get(), skeleton.GetBindTransformsAttr().Get()
    np.testing.assert_allclose(UsdSkel.ConcatJointTransforms(UsdSkel.Topology(joints), rest), bind, atol=1e-6)
    mesh = stage.GetPrimAtPath("/World/person_2/body")
    material, _ = UsdShade.MaterialBindingAPI(mesh).ComputeBoundMaterial()
    assert material.GetPath().name == "rgb_{:02x}{:02x}{:02x}".format(*HUES[2])
    # The camera sees a point where the photograph's camera does.
    frustum = UsdGeom.Camera.Get(stage, "/World/photograph_camera").GetCamera(0.0).frustum
    point = np.array([1.0, 0.5, -12.0])
    x, y, _ = (frustum.ComputeViewMatrix() * frustum.ComputeProjectionMatrix()).Transform(Gf.Vec3d(*point))
    seen = np.array([1.0 + x, 1.0 - y]) / 2.0 * (camera.width, camera.height)
    np.testing.assert_allclose(seen, camera.project(made.GROUND.from_world(point)[None])[0], atol=0.05)


@needs_usd
def test_the_photograph_hangs_where_the_camera_sees_it(tmp_path: Path) -> None:
    from pxr import Usd, UsdGeom, UsdShade

    scene, ids = made.scene_at(1)
    people = performers([Shot(0.0, scene, ids)], made.body())
    halves = np.zeros((40, 60, 3), np.uint8)
    halves[:20] = 200, 30, 30
    write_usd(tmp_path / "crowd.usdc", scene, people, made.body(), HUES[: len(ids)], halves)
    assert {path.name for path in tmp_path.iterdir()} == {"crowd.usdc", "crowd_photograph.jpg"}
    stage = Usd.Stage.Open(str(tmp_path / "crowd.usdc"))
    mesh = UsdGeom.Mesh.Get(stage, "/World/photograph")
    corners = np.array(mesh.GetPointsAttr().Get(), float)
    size = (made.CAMERA.width, made.CAMERA.height)
    seen = made.CAMERA.project(made.GROUND.from_world(corners)) / size
    # Texture coordinates have their origin at the bottom left.
    where = np.array(UsdGeom.PrimvarsAPI(mesh).GetPrimvar("st").Get())
    np.testing.assert_allclose(seen, where * (1.0, -1.0) + (0.0, 1.0), atol=1e-4)
    assert made.GROUND.from_world(corners)[:, 2].min() > scene.people.translation_cam_m[:, 2].max()
    face = corners[list(mesh.GetFaceVertexIndicesAttr().Get())]
    towards = np.array(mesh.GetNormalsAttr().Get())[0]
    assert np.cross(face[1] - face[0], face[2] - face[1]) @ towards > 0
    assert (np.array([0.0, made.GROUND.offset_m, 0.0]) - corners[0]) @ towards > 0
    material, _ = UsdShade.MaterialBindingAPI(mesh).ComputeBoundMaterial()
    surface, *_ = material.ComputeSurfaceSource()
    texture = UsdShade.Shader(surface.GetInput("emissiveColor").GetConnectedSources()[0][0].source.GetPrim())
    picture = Path(texture.GetInput("file").Get().resolvedPath)
    assert picture == tmp_path / "crowd_photograph.jpg"
    assert (np.abs(cv2.imread(str(picture))[[5, 35], 30].astype(int) - [[30, 30, 200], [0, 0, 0]]) < 10).all()


@needs_usd
def test_the_formats_own_validators_find_nothing(tmp_path: Path) -> None:
    validation = pytest.importorskip("pxr.UsdValidation", reason="this usd-core is older than the validators")
    from pxr import Usd

    shots = [Shot(picture * made.STEP_S, *made.scene_at(picture)) for picture in range(made.PICTURES)]
    people = performers(shots, made.body())
    write_usd(tmp_path / "crowd.usda", shots[0].scene, people, made.body(), HUES[: len(people)], np.zeros((40, 60, 3), np.uint8))
    context = validation.ValidationContext(validation.ValidationRegistry().GetOrLoadAllValidators())
    assert [error.GetErrorAsString() for error in context.Validate(Usd.Stage.Open(str(tmp_path / "crowd.usda")))] == []
    # They do look: without the picture something is amiss.
    (tmp_path / "crowd_photograph.jpg").unlink()
    assert context.Validate(Usd.Stage.Open(str(tmp_path / "crowd.usda")))


@needs_usd
def test_a_sequence_moves_everybody_and_hides_who_is_not_there(tmp_path: Path) -> None:
    from pxr import Usd, UsdGeom

    assert main(["export", str(made.write_sequence(tmp_path)), "--format", "usdc"]) == 0
    stage = Usd.Stage.Open(str(tmp_path / "crowd.usdc"))
    codes = stage.GetTimeCodesPerSecond()
    assert stage.GetEndTimeCode() == (made.PICTURES - 1) * made.STEP_S * codes
    for picture, id_ in ((1, 1), (4, 1), (4, 3), (6, 0)):
        # The made poses are independent from picture to picture, so that a wrong time would show.
        found = skinned(stage, f"person_{id_}", picture * made.STEP_S * codes)
        np.testing.assert_allclose(found, made.mesh_of(picture, id_), atol=1e-3)
    for picture in range(made.PICTURES):
        for id_ in range(4):
            one = UsdGeom.Imageable.Get(stage, f"/World/person_{id_}")
            there = one.ComputeVisibility(picture * made.STEP_S * codes) == "inherited"
            assert there == ((picture, id_) not in made.GONE)


def test_without_the_package_one_line_says_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "pxr", None)
    assert main(["export", str(made.write_sequence(tmp_path)), "--format", "usda"]) == 1
    assert "pip install 'crowd3d[usd]'" in capsys.readouterr().err
    assert not (tmp_path / "crowd.usda").exists()
