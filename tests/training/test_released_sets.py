"""Made-up files in each of the release's formats load, and their items equal values computed from the people that they were made of."""

from __future__ import annotations

import logging
import pickle
from pathlib import Path

import numpy as np
import pytest
from released_sets import COCO, H36M, MUCO, PLANE, Group, make_group, project, write_annotations, write_picture
from scipy.spatial.transform import Rotation

from crowd3d.errors import BadImage, MissingAsset
from crowd3d.training.datasets import Bodies, MixedData, SyntheticTiles, missing_datasets, open_datasets
from crowd3d.training.datasets.agora import AgoraScale
from crowd3d.training.datasets.h36m import CAMERAS, DISTORTION, H36MScale
from crowd3d.training.datasets.largecrowd import LargeCrowdScale
from crowd3d.training.datasets.muco import MuCoScale
from crowd3d.training.supervision import Label, Sample

FREE = Bodies(substitute="free_low")
TORSO = [16, 17, 45, 46]


def known_people(sample: Sample) -> np.ndarray:
    return np.flatnonzero(sample.masks[:, Label.PRESENT])


def expected_centers(keypoints: np.ndarray) -> np.ndarray:
    """(N, 54, 2) tile coordinates of people who are whole in the tile → torso centres."""
    return keypoints[:, TORSO].mean(1)


def check_centers(sample: Sample, centers: np.ndarray) -> None:
    """One exact peak per person, where people are too far apart to be pushed."""
    np.testing.assert_allclose(sample.person_centers[known_people(sample)], centers, atol=1e-4)
    cells = np.floor((centers + 1) / 2 * 64).astype(int)
    peaks = np.argwhere(sample.center_map[0] == 1)[:, ::-1]
    assert sorted(map(tuple, peaks)) == sorted(map(tuple, cells))
    assert sample.counted.all()
    assert sample.all_people


def h36m_entry(group: Group) -> dict:
    joints = np.zeros((32, 3))
    pixels = np.full((32, 2), -50.0)
    for target, source in H36M.items():
        joints[source], pixels[source] = group.joints[0, target], group.pixels[0, target]
    turned = group.pose[0].copy()
    turned[:3] = 0.3
    return {
        "kp2d": (pixels * 512 / 1000).ravel().tolist(),
        "kp3d_mono": joints.ravel(),
        "cam": [np.zeros(3), group.pose[0, :3]],
        "poses": [np.zeros(72), turned],
        "betas": group.betas[0],
        "foot2d": group.hvip[0] * 512 / 1000,
        "ground": -2.5 * PLANE,
        "trans": np.zeros(3),
    }


def test_h36m(tmp_path: Path) -> None:
    group = make_group(1000, 1000, [(0.2, 6.0)], 1145.0)
    name = "S9_Walking_2_000123.jpg"
    write_picture(tmp_path / "h36m_scale" / "images" / name, 512, 512)
    write_annotations(tmp_path / "h36m_scale" / "annots_scale.pkl", {name: h36m_entry(group)}, protocol=2)
    sample = H36MScale(tmp_path, 512, FREE)[0]
    tile = group.pixels / 500 - 1
    assert known_people(sample).tolist() == [0]
    joints = list(H36M)
    np.testing.assert_allclose(sample.keypoints[0, joints], tile[0, joints], atol=1e-5)
    assert np.flatnonzero(sample.keypoints_known[0]).tolist() == joints
    np.testing.assert_allclose(sample.hvip[0], group.hvip[0] / 500 - 1, atol=1e-5)
    np.testing.assert_allclose(sample.torso[0], tile[0, TORSO].mean(0), atol=1e-5)
    np.testing.assert_allclose(sample.root_cam_m[0], group.joints[0, [45, 46]].mean(0), atol=1e-5)
    shape = group.joints[0] - group.joints[0, 0]
    np.testing.assert_allclose(sample.joints_cam_m[0] - sample.joints_cam_m[0, 0], shape, atol=1e-5)
    np.testing.assert_allclose(sample.rotations[0], Rotation.from_rotvec(group.pose[0].reshape(24, 3)[:22]).as_matrix(), atol=1e-6)
    np.testing.assert_allclose(sample.betas[0], group.betas[0], atol=1e-6)
    assert sample.masks[0].all()
    assert not sample.masks[1:].any()
    np.testing.assert_allclose(sample.planes, PLANE)
    assert [sample.K[0, 0], sample.K[1, 1], sample.K[0, 2], sample.K[1, 2]] == CAMERAS[2].tolist()
    np.testing.assert_array_equal(sample.distortion, DISTORTION[2])
    assert (sample.side_px, sample.scene_width_px, sample.origin_px.tolist()) == (1000, 1000, [0, 0])
    check_centers(sample, expected_centers(tile))


def test_muco(tmp_path: Path) -> None:
    group = make_group(2048, 2048, [(-1.5, 7.0), (0.5, 6.0), (30.0, 7.0), (2.0, 8.0)], 1500.0)
    joints, pixels = np.zeros((4, 21, 3)), np.full((4, 21, 2), -999.0)
    for target, source in MUCO.items():
        joints[:, source], pixels[:, source] = group.joints[:, target], group.pixels[:, target]
    entry = {"j2d": pixels / 4, "j3d": joints, "camMatrix": group.K, "ground": PLANE, "foot2d": group.hvip / 4, "trans": np.zeros((4, 3))}
    write_picture(tmp_path / "muco_scale" / "images" / "1.jpg", 512, 512)
    write_annotations(tmp_path / "muco_scale" / "annots_scale.pkl", {"1.jpg": entry}, protocol=5)
    sample = MuCoScale(tmp_path, 512)[0]
    rows = [0, 1, 3]
    tile = group.pixels[rows] / 1024 - 1
    targets = list(MUCO)
    assert known_people(sample).tolist() == [0, 1, 2]
    np.testing.assert_allclose(sample.keypoints[:3, targets], tile[:, targets], atol=1e-5)
    assert (sample.joints_known[:3].nonzero()[1].reshape(3, -1) == targets).all()
    root = group.joints[rows][:, [45, 46]].mean(1)
    np.testing.assert_allclose(sample.joints_cam_m[:3, targets], group.joints[rows][:, targets] - root[:, None], atol=1e-5)
    np.testing.assert_allclose(sample.root_cam_m[:3], root, atol=1e-5)
    np.testing.assert_allclose(sample.hvip[:3], group.hvip[rows] / 1024 - 1, atol=1e-5)
    np.testing.assert_allclose(sample.K, group.K)
    assert not sample.masks[:, [Label.ORIENTATION, Label.POSE, Label.BETAS]].any()
    assert sample.masks[:3, [Label.PRESENT, Label.HVIP, Label.TORSO, Label.ROOT]].all()
    check_centers(sample, expected_centers(tile))


def test_agora(tmp_path: Path) -> None:
    """The first person is out of the picture: nobody may get their pose. The second is a child, the third has hidden joints."""
    group = make_group(1280, 720, [(30.0, 8.0), (-1.5, 9.0), (1.0, 8.0)], 900.0)
    visible = np.ones((3, 54))
    visible[2, 20:24] = 0
    entry = {
        "pose_params": group.pose,
        "beta_params": group.betas,
        "ground": PLANE,
        "camMatrix": group.K,
        "gt_joints_2d_all_vis": np.concatenate([group.pixels / 2.5, visible[..., None]], 2),
        "gt_joints_3d_all": group.joints,
        "foot2d_torso_center": group.hvip / 2.5,
        "trans3d_angle_mean_and_foot3d": np.zeros((3, 3)),
        "kids_flag": np.array([False, True, False]),
    }
    write_picture(tmp_path / "agora_scale" / "images" / "a.png", 512, 288)
    write_annotations(tmp_path / "agora_scale" / "annots_scale.pkl", {"a.png": entry})
    sample = AgoraScale(tmp_path, 512, FREE)[0]
    tile = (group.pixels[1:] + [0, 280]) / 640 - 1
    assert known_people(sample).tolist() == [0, 1]
    np.testing.assert_allclose(sample.keypoints[:2], tile, atol=1e-5)
    assert sample.keypoints_known[0].all()
    assert np.flatnonzero(~sample.keypoints_known[1]).tolist() == [20, 21, 22, 23]
    np.testing.assert_allclose(sample.betas[:2], group.betas[1:], atol=1e-6)
    np.testing.assert_allclose(sample.rotations[1], Rotation.from_rotvec(group.pose[2].reshape(24, 3)[:22]).as_matrix(), atol=1e-6)
    centred = group.joints[2] - group.joints[2, 0]
    np.testing.assert_allclose(sample.joints_cam_m[1] - sample.joints_cam_m[1, 0], centred, atol=1e-5)
    adult_only = [Label.ORIENTATION, Label.POSE, Label.BETAS]
    assert not sample.masks[0, adult_only].any()
    assert not sample.joints_known[0].any()
    assert sample.masks[1, adult_only].all()
    assert sample.masks[:2, [Label.HVIP, Label.ROOT]].all()
    np.testing.assert_allclose(sample.origin_px, [0, -280])
    assert sample.side_px == 1280
    assert not sample.images[:112].any()
    assert sample.images[112:400].any()
    # the network sees the picture where the camera says: the principal point of the scene is the middle of the tile
    np.testing.assert_allclose((group.K[:2, 2] - sample.origin_px) / sample.side_px, 0.5)
    check_centers(sample, expected_centers(tile))


def largecrowd(tmp_path: Path, rows: list[tuple], shape: tuple[int, int] | None = None, scene: str = "jinJie_00") -> Path:
    folder = tmp_path / "largecrowd_scale"
    ground = folder / "ground_info" / scene
    ground.mkdir(parents=True, exist_ok=True)
    np.save(ground / "ground.npy", (3 * PLANE).astype(np.float32))
    np.save(ground / "cam_para.npy", np.array([[20000, 0, 9600], [0, 20000, 3180], [0, 0, 1]], np.float32))
    if shape:
        np.save(ground / "scene_shape.npy", np.array(shape))
    for name, *_ in rows:
        write_picture(folder / "images" / name, 512, 512)
    write_annotations(folder / "annots_scale.pkl", rows)
    return tmp_path


def test_largecrowd(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    people = [np.c_[rng.uniform(0, 60, (17, 2)) + corner, np.full(17, 0.9)] for corner in ([50, 200], [300, 220])]
    people.append(np.c_[rng.uniform(-90, -20, (17, 2)), np.ones(17)])
    people[1][:3, 0] = 700
    name = "jinJie_00_000123_3_7_1000_9000_1800_9800.jpg"
    rows = [(name, people, None, None, [np.array([80.0, 300.0]), None, np.array([5.0, 5.0])])]
    sample = LargeCrowdScale(largecrowd(tmp_path, rows), 512)[0]
    assert known_people(sample).tolist() == [0, 1]
    assert (sample.origin_px.tolist(), sample.side_px, sample.scene_width_px) == ([9000, 1000], 800, 19200)
    np.testing.assert_allclose(sample.keypoints[0, COCO], people[0][:, :2] / 256 - 1, atol=1e-5)
    assert sorted(np.flatnonzero(sample.keypoints_known[0])) == sorted(COCO)
    assert sorted(np.flatnonzero(sample.keypoints_known[1])) == sorted(COCO[3:])
    np.testing.assert_allclose(sample.hvip[0], [80 / 256 - 1, 300 / 256 - 1], atol=1e-6)
    assert sample.masks[:3, Label.HVIP].tolist() == [True, False, False]
    np.testing.assert_allclose(sample.torso[:2], [p[[5, 6, 11, 12], :2].mean(0) / 256 - 1 for p in people[:2]], atol=1e-5)
    assert not sample.masks[:, [Label.ORIENTATION, Label.POSE, Label.BETAS, Label.ROOT]].any()
    assert not sample.joints_known.any()
    np.testing.assert_allclose(sample.planes, PLANE, atol=1e-6)
    assert sample.K[0, 2] == 9600


def test_a_crop_whose_people_are_all_out_of_sight_is_an_empty_sample(tmp_path: Path) -> None:
    rows = [("jinJie_00_000123_3_7_1000_9000_1800_9800.jpg", [np.full((17, 3), -5.0)], None, None, [None])]
    sample = LargeCrowdScale(largecrowd(tmp_path, rows), 256)[0]
    assert not sample.masks.any()
    assert not sample.center_map.any()
    assert sample.images.shape == (256, 256, 3)
    assert sample.center_map.shape == (1, 32, 32)


def test_another_scene_needs_its_size(tmp_path: Path) -> None:
    rows = [("park_07_000123_3_7_0_0_800_800.jpg", [np.full((17, 3), 100.0)], None, None, [None])]
    with pytest.raises(MissingAsset, match=r"park_07.*scene_shape\.npy"):
        LargeCrowdScale(largecrowd(tmp_path, rows, scene="park_07"), 256)
    data = LargeCrowdScale(largecrowd(tmp_path, rows, (26000, 15000), "park_07"), 256)
    assert data[0].scene_width_px == 26000


def test_corrupt_annotations_are_left_out_and_counted(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    good = h36m_entry(make_group(1000, 1000, [(0.2, 6.0)], 1145.0))
    bad = {
        "S9_Walking_7_1.jpg": good,
        "S9_Walking_0_2.jpg": {**good, "kp2d": np.full(64, np.nan)},
        "S9_Walking_0_3.jpg": {**good, "betas": np.zeros(3)},
        "S2_Walking_0_4.jpg": good,
        "S9_Walking_0_5.jpg": {key: value for key, value in good.items() if key != "ground"},
        "S9_Walking_0_6.jpg": {**good, "ground": np.zeros(4)},
    }
    for name in ["S9_Walking_0_0.jpg", *bad]:
        write_picture(tmp_path / "h36m_scale" / "images" / name, 64, 64)
    absent = {"S9_Walking_0_9.jpg": good}
    write_annotations(tmp_path / "h36m_scale" / "annots_scale.pkl", {"S9_Walking_0_0.jpg": good, **bad, **absent})
    with caplog.at_level(logging.WARNING):
        assert len(H36MScale(tmp_path, 256, FREE)) == 1
    assert "7 of 8 annotations" in caplog.text
    write_annotations(tmp_path / "h36m_scale" / "annots_scale.pkl", bad)
    with pytest.raises(MissingAsset, match="no usable annotation"):
        H36MScale(tmp_path, 256, FREE)


def test_a_broken_picture_is_reported_and_another_one_used(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    names = [f"jinJie_00_000123_3_{i}_1000_{9000 + i}_1800_{9800 + i}.jpg" for i in range(2)]
    rows = [(name, [np.full((17, 3), 100.0)], None, None, [None]) for name in names]
    data = LargeCrowdScale(largecrowd(tmp_path, rows), 256)
    (tmp_path / "largecrowd_scale" / "images" / names[0]).write_bytes(b"no picture")
    assert data[0].origin_px[0] == 9001
    assert names[0] in caplog.text
    (tmp_path / "largecrowd_scale" / "images" / names[1]).write_bytes(b"")
    with pytest.raises(BadImage, match="images"):
        data[0]


def test_missing_data_says_what_and_where(tmp_path: Path) -> None:
    with pytest.raises(MissingAsset, match=r"muco_scale.*agora_scale.*dataset=synthetic"):
        open_datasets(["muco_scale", "agora_scale", "synthetic"], tmp_path, 256)
    assert missing_datasets(["muco_scale", "synthetic"], tmp_path) == [tmp_path / "muco_scale"]
    assert [type(d) for d in open_datasets(["synthetic"], tmp_path, 256)] == [SyntheticTiles]
    with pytest.raises(MissingAsset, match="no data set coco"):
        open_datasets(["coco"], tmp_path, 256)
    with pytest.raises(MissingAsset, match="SMPL_FEMALE"):
        Bodies(tmp_path).load("female")


class Evil:
    def __reduce__(self) -> tuple:
        return (Path.touch, (Path("owned"),))


def test_an_annotation_file_cannot_run_anything(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "muco_scale" / "images").mkdir(parents=True)
    (tmp_path / "muco_scale" / "annots_scale.pkl").write_bytes(pickle.dumps({"1.jpg": Evil()}))
    with pytest.raises(MissingAsset, match="asks for"):
        MuCoScale(tmp_path, 256)
    assert not (tmp_path / "owned").exists()


def test_synthetic_tiles_are_those_of_their_number(monkeypatch: pytest.MonkeyPatch) -> None:
    data, same, other = SyntheticTiles(128, 10, seed=3), SyntheticTiles(128, 10, seed=3), SyntheticTiles(128, 10, seed=4)
    np.testing.assert_array_equal(data[2].images, same[2].images)
    assert (data[2].images != data[1].images).any()
    assert (data[2].images != other[2].images).any()
    drawn = [data.sample(2, np.random.default_rng(seed)).images for seed in (5, 5, 6)]
    np.testing.assert_array_equal(drawn[0], drawn[1])
    assert (drawn[0] != drawn[2]).any()
    fixed = SyntheticTiles(128, 10, seed=3, endless=False)
    np.testing.assert_array_equal(fixed.sample(2, np.random.default_rng(9)).images, data[2].images)
    with pytest.raises(IndexError):
        data[10]


def test_synthetic_centres_are_the_people_surely_seen() -> None:
    sample = SyntheticTiles(256, 10, seed=0)[1]
    rows = known_people(sample)
    cells = np.floor((sample.person_centers[rows] + 1) * 16).astype(int)
    assert (sample.center_map[0, cells[:, 1], cells[:, 0]] == 1).all()
    assert len(np.unique(cells, axis=0)) == (sample.center_map == 1).sum()
    assert sample.counted[0, cells[:, 1], cells[:, 0]].all()
    assert sample.scene_width_px > 256
    tile = project(sample.K, sample.joints_cam_m[rows]) / 128 - 1
    np.testing.assert_allclose(sample.keypoints[rows][sample.keypoints_known[rows]], tile[sample.keypoints_known[rows]], atol=1e-4)


class Counted:
    """A data set that only counts."""

    subsampling = 1.0

    def __init__(self, length: int) -> None:
        self.length = length

    def __len__(self) -> int:
        return self.length


def test_a_mixture_keeps_its_shares_and_sees_every_item_equally_often() -> None:
    datasets = [Counted(30), Counted(100), Counted(7)]
    mixture = MixedData(datasets, [0.2, 0.5, 0.3])
    assert len(mixture) == 200
    seen = [np.zeros(len(d)) for d in datasets]
    passes = 400
    for turn in range(passes):
        rng = np.random.default_rng(turn)
        for index in range(len(mixture)):
            dataset, item = mixture.choose(index, rng)
            seen[dataset][item] += 1
    assert [int(s.sum()) for s in seen] == [40 * passes, 100 * passes, 60 * passes]
    for share, counts in zip((40, 100, 60), seen, strict=True):
        expected = share * passes / len(counts)
        np.testing.assert_allclose(counts, expected, rtol=0.2 if expected < 1000 else 0.05)
    with pytest.raises(ValueError, match="positive"):
        MixedData(datasets, [0.2, 0.8])


def test_the_length_of_a_pass_is_the_releases() -> None:
    datasets = [Counted(1770), Counted(159)]
    datasets[0].subsampling, datasets[1].subsampling = 1.77, 1.59
    assert len(MixedData(datasets, [0.4, 0.6])) == 2500
