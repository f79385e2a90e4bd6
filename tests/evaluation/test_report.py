"""Intervals over images, tables, the command."""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import numpy as np
import pytest
from scipy import stats

from crowd3d.bodies.body import Body
from crowd3d.bodies.joints import COCO17_FROM_SMPL54
from crowd3d.cli import evaluate as command
from crowd3d.errors import MissingAsset
from crowd3d.evaluation import bootstrap_interval, evaluate, format_table, load_truth, summarise
from crowd3d.types import Scene


def test_bootstrap_agrees_with_another_library() -> None:
    values = np.random.default_rng(0).normal(80, 5, 40)
    ours = bootstrap_interval(values, np.random.default_rng(1))
    other = stats.bootstrap((values,), np.mean, method="percentile", n_resamples=4000, rng=np.random.default_rng(2)).confidence_interval
    assert ours.mean == pytest.approx(values.mean())
    assert (ours.low, ours.high) == pytest.approx((other.low, other.high), abs=0.25)


def test_images_without_a_figure_do_not_spoil_the_mean() -> None:
    summary = summarise([{"ppds": 80.0, "oks": float("nan")}, {"ppds": float("nan"), "oks": float("nan")}])
    assert summary["ppds"].mean == 80.0
    assert np.isnan(summary["oks"].mean)


def test_table_shows_corrected_and_published_figures(crowd: Scene, body: Body) -> None:
    figures = evaluate(crowd, crowd, body_pred=body, body_true=body)
    table = format_table(figures).splitlines()
    assert "100.0" in next(line for line in table if line.strip().startswith("PPDS"))
    assert len(next(line for line in table if "PA-PPDS" in line).split()) == 3
    assert "[" in format_table(summarise([figures, figures]))


def write_truth(path: Path, scene: Scene, body: Body) -> None:
    people, camera = scene.people, scene.camera
    keypoints = camera.project(people.joints_cam_m(body)[:, COCO17_FROM_SMPL54])
    seen = np.full((*keypoints.shape[:2], 1), 2.0)
    seen[0] = 1.0
    np.savez(
        path,
        K=camera.K,
        ground=scene.ground.coefficients,
        image_size=(camera.width, camera.height),
        pose_rad=people.pose_rad,
        betas=people.betas,
        translation_cam_m=people.translation_cam_m,
        hvip_px=people.hvip_px,
        hvip_cam_m=people.hvip_cam_m,
        keypoints_px=np.concatenate([keypoints, seen], -1),
        visible_fraction=np.linspace(0, 1, len(people)),
        height_px=np.full(len(people), 80.0),
        body=scene.body,
    )


def test_command_scores_a_folder(crowd: Scene, body: Body, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    crowd.save(tmp_path / "result")
    write_truth(tmp_path / "truth.npz", crowd, body)
    truth = load_truth(tmp_path / "truth.npz")
    assert truth.eligible.sum() == 15
    assert not truth.visible[0].any()
    parser = argparse.ArgumentParser()
    command.add_arguments(parser)
    args = parser.parse_args(["--predicted", str(tmp_path / "result"), "--truth", str(tmp_path / "truth.npz")])
    assert command.run(args) == 0
    figures = json.loads((tmp_path / "result" / "metrics.json").read_text())
    assert (figures["true_people"], figures["precision"], figures["recall"]) == (15, 1.0, 1.0)
    assert "PA-MPJPE" in capsys.readouterr().out


@pytest.mark.parametrize("content", [None, b"", b"PK\x03\x04 cut off", b"\x80\x04}."])
def test_unusable_truth_is_named(content: bytes | None, tmp_path: Path) -> None:
    path = tmp_path / "truth.npz"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(MissingAsset, match=r"truth\.npz"):
        load_truth(path)
