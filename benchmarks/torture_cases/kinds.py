"""The commands that the cases run, with the smallest work that goes through all of their stages."""

from __future__ import annotations

from pathlib import Path

KINDS = ("photograph", "halves", "sequence", "training")
TRAINING = ["dataset=synthetic", "backbone=compact", "epoch=1", "steps_per_epoch=2", "batch_size=1", "validation_tiles=1", "nw=0"]
EVERY_STEP = ["save_every=1", "report_every=1", "new_training_epoch=0"]
ENDING = ["--quiet", "--device", "cpu"]


def commands_of(kind: str, good: Path, folder: Path) -> list[list[str]]:
    """Those of one of `KINDS`, with nothing but what it needs."""
    match kind:
        case "photograph":
            return photograph(good, folder, ["--before_after"])
        case "halves":
            return halves(good, folder, [], ["--before_after"])
        case "sequence":
            return sequence(good, folder)
        case _:
            return training(folder)


def halves(good: Path, folder: Path, first: list[str], second: list[str]) -> list[list[str]]:
    """Both commands of one photograph."""
    common = ["--scene_image_path", str(good / "photo.png"), "--save_mid_folder", str(folder / "mid")]
    return [
        ["process", *common, "--keypoints", str(good / "keypoints.npy"), *first, *ENDING],
        ["infer", *common, "--save_res_folder", str(folder / "res"), *second, *ENDING],
    ]


def photograph(good: Path, folder: Path, options: list[str]) -> list[list[str]]:
    """The one command that does both."""
    return [_reconstruct(good / "photo.png", good / "keypoints.npy", folder, options)]


def sequence(good: Path, folder: Path) -> list[list[str]]:
    """The command for a folder of pictures."""
    return [_reconstruct(good / "sequence", good / "sequence.json", folder, [])]


def training(folder: Path) -> list[list[str]]:
    """The command that trains both stages."""
    return [["train", f"tag={folder / 'train'}", "device=cpu", *TRAINING, *EVERY_STEP]]


def _reconstruct(source: Path, keypoints: Path, folder: Path, options: list[str]) -> list[str]:
    places = ["--save_mid_folder", str(folder / "mid"), "--save_res_folder", str(folder / "res")]
    return ["reconstruct", str(source), "--keypoints", str(keypoints), *places, *options, *ENDING]
