"""A stage of the published recipe: killed and continued, in one process and in two."""

from __future__ import annotations

import json
import os
import random
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import stage_worker
import torch

from crowd3d.model import load_network, load_weights

TESTS = Path(__file__).resolve().parents[1]
STEPS = 6
BATCH = 2
SLOW = "lr=1e-6"
"""So slow that rounding, which Adam makes large where gradients vanish, does not grow into different matches."""


def start(folder: Path, *arguments: str, **environment: str) -> subprocess.Popen[bytes]:
    """Run the worker; what it says goes to a file of its own."""
    paths = os.pathsep.join([str(TESTS), str(TESTS.parent / "Crowd3DNet"), os.environ.get("PYTHONPATH", "")])
    command = [sys.executable, str(TESTS / "training" / "stage_worker.py"), str(folder), *arguments]
    environment = {**os.environ, "PYTHONPATH": paths, "OMP_NUM_THREADS": "1", **environment}
    with open(f"{folder}{environment.get('RANK', '')}.txt", "wb") as log:
        return subprocess.Popen(command, env=environment, stdout=log, stderr=log)


def gradient(folder: Path) -> torch.Tensor:
    """Running mean of the gradients of all parameters."""
    state = torch.load(folder / "state.pt", weights_only=True)["optimizer"]["state"]
    return torch.cat([state[row]["exp_avg"].flatten() for row in sorted(state)])


def said(folder: Path) -> str:
    return "\n".join(path.read_text() for path in folder.glob("*.txt"))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("stage")


@pytest.fixture(scope="module")
def last_sample() -> int:
    """Number of samples after which the run is killed, somewhere after its first saved state and before its last step."""
    return random.randrange(2 * BATCH + 1, STEPS * BATCH)


@pytest.fixture(scope="module", autouse=True)
def one_thread() -> Iterator[None]:
    """As in the other processes: the order of additions, and so the last bits, depends on the number of threads."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="module", autouse=True)
def others(folder: Path, last_sample: int) -> Iterator[list[subprocess.Popen[bytes]]]:
    """One process that will be killed, and two that share their batches; all at once, because most of the time they import."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    common = {"WORLD_SIZE": "2", "LOCAL_WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port, "TORCHELASTIC_RUN_ID": "test"}
    processes = [
        start(folder / "killed", "nw=0", f"batch_size={BATCH}", DEADLY=str(last_sample)),
        *(start(folder / "two", "nw=1", "batch_size=2", SLOW, RANK=rank, LOCAL_RANK=rank, GROUP_RANK="0", **common) for rank in "01"),
    ]
    yield processes
    for process in processes:
        process.kill()
        process.wait()


def test_killed_and_continued_equals_not_killed(folder: Path, last_sample: int, others: list[subprocess.Popen[bytes]]) -> None:
    stage_worker.run(folder / "whole", "nw=0", f"batch_size={BATCH}")
    assert others[0].wait() == -signal.SIGKILL, said(folder)
    assert torch.load(folder / "killed" / "state.pt", weights_only=True)["step"] < STEPS
    stage_worker.run(folder / "killed", "nw=1", f"batch_size={BATCH}")
    whole, killed = (torch.load(folder / name / "state.pt", weights_only=True) for name in ("whole", "killed"))
    assert whole["step"] == killed["step"] == STEPS
    assert whole["best"] == killed["best"]
    for key, value in whole["network"].items():
        assert torch.equal(value, killed["network"][key]), f"{key}, killed after {last_sample} samples"
    for row, state in whole["optimizer"]["state"].items():
        for key, value in state.items():
            assert torch.equal(value, killed["optimizer"]["state"][row][key])
    for file in ("weights.safetensors", "best.safetensors"):
        published, again = (load_weights(folder / name / file) for name in ("whole", "killed"))
        assert published[1] == again[1]
        assert all(torch.equal(value, again[0][key]) for key, value in published[0].items())


def test_two_processes_learn_like_one_with_twice_the_batch(folder: Path, others: list[subprocess.Popen[bytes]]) -> None:
    stage_worker.run(folder / "one", "nw=0", "batch_size=4", SLOW)
    for process in others[1:]:
        assert process.wait() == 0, said(folder)
    one, two = ([json.loads(line) for line in (folder / name / "loss.jsonl").read_text().splitlines()] for name in ("one", "two"))
    assert [line["step"] for line in one] == [line["step"] for line in two] == list(range(1, STEPS + 1))
    for one_step, two_steps in zip(one, two, strict=True):
        assert two_steps["terms"] == pytest.approx(one_step["terms"], rel=2e-3)
    first, second = (gradient(folder / name) for name in ("one", "two"))
    assert (first - second).norm() < 0.01 * first.norm()


def test_weights_load_and_say_what_they_are(folder: Path) -> None:
    network, metadata = load_network(folder / "one" / "best.safetensors")
    assert network.backbone_name == "compact"
    assert {"backbone": "compact", "body": "free", "tile_px": "256", "stage": "all"}.items() <= metadata.items()
    assert {"f1", "hvip_m", "pa_mpjpe_mm", "ppds", "score"} <= set(metadata)
