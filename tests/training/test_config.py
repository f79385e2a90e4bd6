"""Configurations: the published values, overrides, and one clear line for what is wrong."""

from pathlib import Path

import pytest

from crowd3d.errors import BadConfig
from crowd3d.model.configs import read_config
from crowd3d.training.config import TrainConfig
from crowd3d.training.supervision import LossWeights
from crowd3d.tuning.fine_tuning import FineTuningConfig

CONFIGS = Path(__file__).resolve().parents[2] / "Crowd3DNet" / "configs"
NOTHING = dict.fromkeys(LossWeights.__dataclass_fields__, 0.0)


def test_the_two_stages_have_the_published_values() -> None:
    foot, whole = (read_config(CONFIGS / "train" / f"{stage}.yml", TrainConfig) for stage in ("foot", "all"))
    assert (foot.epoch, foot.new_training_epoch, foot.lr, foot.milestones, foot.batch_size) == (15, 5, 5e-5, (50, 65), 30)
    assert (whole.epoch, whole.new_training_epoch, whole.lr, whole.milestones, whole.batch_size) == (70, 0, 5e-5, (50, 65), 30)
    assert foot.loss_weights == LossWeights(**{**NOTHING, "center_map": 160, "hvip": 500, "torso_offset": 800})
    assert whole.loss_weights == LossWeights(
        center_map=160,
        keypoints_2d=400,
        mpjpe=200,
        pa_mpjpe=360,
        pose=80,
        shape=6,
        prior=1.6,
        hvip=500,
        torso_offset=800,
        root_cam=200,
        out_of_bound=800,
        ground_normal=10,
    )
    assert dict(zip(whole.datasets, whole.shares, strict=True)) == {"muco": 0.2, "h36m": 0.3, "agora": 0.15, "largecrowd": 0.35}


@pytest.mark.parametrize(("name", "epoch", "upright"), [("optim", 160, 10), ("optim_single_image", 100, 25)])
def test_fine_tuning_has_the_published_values(name: str, epoch: int, upright: int) -> None:
    config = read_config(CONFIGS / "optim" / f"{name}.yml", FineTuningConfig)
    assert (config.epoch, config.batch_size, config.centermap_conf_thresh) == (epoch, 64, 0.2)
    assert [config.rate(e) for e in (0, 49, 50, 64, 65)] == pytest.approx([5e-5, 5e-5, 5e-6, 5e-6, 5e-7])
    chosen = {"center_map": 160, "keypoints_2d": 400, "prior": 1.6, "out_of_bound": 800, "ground_normal": upright}
    assert config.loss_weights == LossWeights(**{**NOTHING, **chosen})


def test_arguments_win_and_the_file_stays() -> None:
    path = CONFIGS / "train" / "all.yml"
    before = path.read_bytes()
    overrides = ["dataset=synthetic, muco", "epoch=2", "backbone=compact", "milestones=[1]", "loss_weights.pose=3"]
    config = read_config(path, TrainConfig, [*overrides, "probabilities.muco=0.7"])
    assert (config.datasets, config.epoch, config.tile_px, config.milestones) == (["synthetic", "muco"], 2, 256, (1,))
    assert (config.loss_weights.pose, config.loss_weights.shape) == (3.0, 6.0)
    assert read_config(path, TrainConfig, ["lr=3e-4", "epoch=2.0", "tag=1e3", "probabilities={muco: 1}"]).lr == 3e-4
    assert config.shares == pytest.approx([1 / 3, 2 / 3])
    assert config.run_name == "compact_cm32_all"
    assert path.read_bytes() == before


@pytest.mark.parametrize(
    ("override", "complaint"),
    [
        ("epochs=2", "'epochs'.*did you mean 'epoch'"),
        ("epoch=two", "'epoch=two': epoch: 'two' is not a whole number"),
        ("epoch=2.5", "2.5"),
        ("epoch=true", "'true' is not a whole number"),
        ("milestones=3", "milestones: '3' is not a list"),
        ("milestones=[1, b]", "milestones: 'b' is not a whole number"),
        ("loss_weights=3", "loss_weights: '3' is not a group of keys"),
        ("epoch=0", "epoch=0 is not at least 1"),
        ("loss_weights.poses=1", "poses"),
        ("dataset=muko", "dataset=muko is not of muco, h36m"),
        ("backbone=vit", "backbone=vit"),
        ("verbose", "key=value"),
    ],
)
def test_a_wrong_argument_is_one_line_that_names_it(override: str, complaint: str) -> None:
    with pytest.raises(BadConfig, match=complaint) as error:
        read_config(CONFIGS / "train" / "foot.yml", TrainConfig, [override])
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("content", "complaint"), [("tab: [", "broken.yml"), ("tab: x\nlr: fast", "broken.yml: lr.*fast"), ("lr: 1.0", "tab")]
)
def test_a_broken_file_is_named(content: str, complaint: str, tmp_path: Path) -> None:
    (tmp_path / "broken.yml").write_text(content, encoding="utf-8")
    with pytest.raises(BadConfig, match=complaint):
        read_config(tmp_path / "broken.yml", TrainConfig)
    with pytest.raises(BadConfig, match=r"no\.yml"):
        read_config(tmp_path / "no.yml", TrainConfig)
