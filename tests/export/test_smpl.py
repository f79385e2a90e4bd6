"""Files of smplcodec, read back by its own package: SMPL with what they say is the body that was reconstructed."""

from __future__ import annotations

import json
import sys
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path

import made_sequence as made
import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from crowd3d.bodies import Body
from crowd3d.cli.main import main
from crowd3d.errors import MissingAsset
from crowd3d.export import write_mcs, write_smpl
from crowd3d.export.rig import Shot, performers

needs_smplcodec = pytest.mark.skipif(find_spec("smplcodec") is None, reason="smplcodec is not installed")


@pytest.fixture(scope="module")
def body() -> Body:
    """The scenes' body under the name of SMPL's, whose files are not to be had: the layout is the same."""
    return replace(made.body(), name="smpl_female")


def posed(body: Body, motion, frame: int) -> np.ndarray:
    """(V, 3) what the text of the format says: SMPL of pose and shape, then the translation."""
    pose, betas = motion.full_pose[frame][None], motion.shape_parameters[None]
    return body.pose(pose, betas)[0][0] + motion.body_translation[frame]


@needs_smplcodec
def test_a_photograph(tmp_path: Path, body: Body) -> None:
    from smplcodec import SMPLCodec, SMPLGender, SMPLVersion
    from smplcodec.mcs import extract_smpl_from_mcs

    scene, ids = made.scene_at(1)
    people = performers([Shot(0.0, scene, ids)], body)
    written = write_smpl(tmp_path / "smpl", people, body)
    write_mcs(tmp_path / "crowd.mcs", scene, people, body)
    inside = extract_smpl_from_mcs(tmp_path / "crowd.mcs")
    assert [path.name for path in written] == [f"person_{id_}.smpl" for id_ in ids]
    for id_, path, same in zip(ids, written, inside, strict=True):
        motion = SMPLCodec.from_file(path)
        assert motion == same
        assert (motion.smpl_version, motion.gender, motion.frame_count) == (SMPLVersion.SMPL, SMPLGender.FEMALE, 1)
        np.testing.assert_allclose(posed(body, motion, 0), made.mesh_of(1, id_), atol=1e-3)
    document = json.loads((tmp_path / "crowd.mcs").read_text())
    node = next(node for node in document["nodes"] if "camera" in node)
    # A camera of glTF looks along −z with y up; a point in front of it is where the photograph shows it.
    point = np.array([1.0, 0.5, -12.0])
    x, y, z = Rotation.from_quat(node["rotation"]).inv().apply(point - node["translation"])
    lens = document["cameras"][0]["perspective"]
    half = np.tan(lens["yfov"] / 2.0) * np.array([lens["aspectRatio"], 1.0])
    seen = (1.0 + np.array([x, -y]) / -z / half) / 2.0 * (made.CAMERA.width, made.CAMERA.height)
    np.testing.assert_allclose(seen, made.CAMERA.project(made.GROUND.from_world(point)[None])[0], atol=0.05)


@needs_smplcodec
def test_a_sequence(tmp_path: Path, body: Body) -> None:
    from smplcodec import SMPLCodec
    from smplcodec.mcs import extract_smpl_from_mcs

    shots = [Shot(picture * made.STEP_S, *made.scene_at(picture)) for picture in range(made.PICTURES)]
    people = performers(shots, body)
    write_mcs(tmp_path / "crowd.mcs", shots[0].scene, people, body, 4.0)
    description = json.loads((tmp_path / "crowd.mcs").read_text())["scenes"][0]["extensions"]["MC_scene_description"]
    assert description["num_frames"] == 2 * (made.PICTURES - 1) + 1
    # The second person comes in the second picture, the fourth goes after the fifth.
    assert [one["frame_presence"] for one in description["smpl_bodies"]] == [[0, 13], [2, 13], [0, 13], [0, 9]]
    motion = extract_smpl_from_mcs(tmp_path / "crowd.mcs")[1]
    assert motion == SMPLCodec.from_file(write_smpl(tmp_path, people, body, 4.0)[1])
    assert motion.frame_rate == 4.0
    for picture in (1, 4):
        np.testing.assert_allclose(posed(body, motion, 2 * picture - 2), made.mesh_of(picture, 1), atol=1e-3)


def test_the_free_body_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["export", str(made.write_sequence(tmp_path)), "--format", "mcs"]) == 1
    assert "the body free_body_low, which .smpl and .mcs do not know; reconstruct them with official SMPL" in capsys.readouterr().err
    assert not (tmp_path / "crowd.mcs").exists()


def test_without_the_package_one_line_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, body: Body) -> None:
    monkeypatch.setitem(sys.modules, "smplcodec", None)
    people = performers([Shot(0.0, *made.scene_at(0))], body)
    with pytest.raises(MissingAsset, match=r"pip install 'crowd3d\[smplcodec\]'"):
        write_smpl(tmp_path, people, body)
