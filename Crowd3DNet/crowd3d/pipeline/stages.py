"""A run's memory: stages say what they read and write, so that nothing is done twice and nothing out of date is kept.

A stage is kept when it was finished with the same values, with files of the same content and by the same version of its code, and when all
that it wrote is still as it was written. Before a stage begins, the memory of it goes away on disk, then what it wrote, then all that other
stages made of that: whoever looks into the folder of an interrupted run finds finished files of one run, or none.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
import shutil
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from crowd3d.errors import BadOutput
from crowd3d.files import file_digest, temporaries, write_json
from crowd3d.imaging import GigapixelImage
from crowd3d.locks import locked
from crowd3d.pipeline.memory import peak_memory_mb

log = logging.getLogger(__name__)

MANIFEST = "manifest.json"
FORMAT_VERSION = 2
"""Of the manifest. Folders whose manifest has another one are as if nothing had been done in them."""
Value = TypeVar("Value")


@dataclass(frozen=True)
class Owner:
    """Which photograph or sequence a folder is about.

    Attributes:
        path: absolute path of it.
        digest: of its content; empty for what is known by its path alone.
    """

    path: str
    digest: str = ""

    def is_another(self, other: Owner) -> bool:
        """Whether they have neither the place nor the content in common: an edited photograph is the same, and so is a moved one."""
        return self.path != other.path and (self.digest != other.digest or not self.digest)


@dataclass(frozen=True)
class Stage:
    """One step of a run.

    Attributes:
        name: unique in its folder.
        version: of what it writes; one more whenever its code gives other results for the same inputs.
        reads: files and folders that it depends on.
        values: everything else that it depends on, as JSON values.
        writes: files and folders that it makes, which belong to no other stage.
        editable: those of `writes` that users may edit; they only have to be there.
    """

    name: str
    version: int
    reads: Sequence[Path] = ()
    values: Mapping[str, Any] = field(default_factory=dict)
    writes: Sequence[Path] = ()
    editable: Sequence[Path] = ()

    def key(self) -> str:
        """Digest of all that it depends on."""
        facts = [self.name, self.version, self.values, [state_of(path) for path in self.reads]]
        return hashlib.blake2b(json.dumps(facts, sort_keys=True).encode(), digest_size=12).hexdigest()


class Run(AbstractContextManager["Run"]):
    """The stages of one photograph or sequence in one folder, recorded in its ``manifest.json``. It holds the folder while it is entered.

    Args:
        folder: where ``manifest.json`` lives.
        owner: what the folder is about; whatever is there of another one goes away.
        overwrite: do everything again.
    """

    def __init__(self, folder: Path, owner: Owner, *, overwrite: bool = False) -> None:
        self.folder, self.owner, self._overwrite = Path(folder), owner, overwrite
        self._lock = locked(self.folder)
        self._records: dict[str, dict[str, Any]] = {}
        self._declared: dict[Path, str] = {}

    def __enter__(self) -> Run:
        self._lock.__enter__()
        try:
            self._begin()
        except BaseException:
            self._lock.__exit__(None, None, None)
            raise
        return self

    def _begin(self) -> None:
        """Read what was done, and remove what must not stay."""
        manifest = _read(self.folder)
        self._records = manifest["stages"]
        before = _owner(manifest)
        foreign = before is not None and before.is_another(self.owner)
        if before is not None and before.path != self.owner.path and not foreign:
            self.owner = before
        unfinished = [name for name, record in self._records.items() if not record["key"]]
        places = {self.folder, *(self._path(path).parent for name in unfinished for path in self._records[name]["writes"])}
        for place in places:
            for leftover in temporaries(place):
                self._remove(leftover)
        for name in list(self._records) if self._overwrite or foreign else unfinished:
            self.drop(name)
        self._store()

    def __exit__(self, *error: object) -> None:
        self._lock.__exit__(None, None, None)

    def do(
        self, stage: Stage, make: Callable[[], Value], save: Callable[[Value], None] | None = None, load: Callable[[], Value] | None = None
    ) -> Value:
        """The value of a stage: made and saved, or loaded where it was made before.

        Args:
            stage: what it is.
            make: gives the value; where there is no `save`, it writes the files itself.
            save: writes the value into the stage's files.
            load: reads it from there; without it the value of a stage that is kept is None.
        """
        self._declare(stage)
        key = stage.key()
        record = self._records.get(stage.name)
        if record is not None and record["key"] == key and self._is_intact(record, stage):
            log.info("%s: done before, kept", stage.name)
            return load() if load is not None else None  # type: ignore[return-value]
        self.drop(stage.name)
        for path in stage.writes:
            _remove(path)
        # Should this be interrupted, the next run knows which files are not to be trusted.
        self._records[stage.name] = {"key": "", "reads": [], "writes": {self._name(path): None for path in stage.writes}}
        self._store()
        started, used = time.perf_counter(), time.process_time()
        value = make()
        if save is not None:
            save(value)
        self._remember(stage, key, time.perf_counter() - started, time.process_time() - used)
        return value

    def drop(self, name: str) -> None:
        """Forget a stage, and remove what others made of what it wrote, then that."""
        record = self._records.get(name)
        if record is None:
            return
        self._records[name] = {**record, "reads": []}
        for other in [key for key, known in self._records.items() if key != name and set(known["reads"]) & set(record["writes"])]:
            self.drop(other)
        self._records[name]["key"] = ""
        self._store()
        for path in record["writes"]:
            self._remove(self._path(path))
        del self._records[name]
        self._store()

    def _declare(self, stage: Stage) -> None:
        for path in stage.writes:
            rival = next((owner for known, owner in self._declared.items() if _overlap(known, path)), None)
            if rival is not None:
                raise ValueError(f"stages {rival} and {stage.name} both write {path}")
        self._declared |= dict.fromkeys(stage.writes, stage.name)
        # Another way through the same folder may have left the file to another stage.
        for name in [name for name in self._records if name != stage.name]:
            known = [self._path(path) for path in self._records.get(name, {}).get("writes", ())]
            if any(_overlap(path, mine) for path in known for mine in stage.writes):
                self.drop(name)

    def _is_intact(self, record: Mapping[str, Any], stage: Stage) -> bool:
        editable = {self._name(path) for path in stage.editable}
        if set(record["writes"]) != {self._name(path) for path in stage.writes}:
            return False
        states = {name: state_of(self._path(name)) for name in record["writes"]}
        return all(state is not None and (name in editable or state == record["writes"][name]) for name, state in states.items())

    def _remember(self, stage: Stage, key: str, seconds: float, processor_seconds: float) -> None:
        peak = peak_memory_mb()
        self._records[stage.name] = {
            "key": key,
            "version": stage.version,
            "values": json.loads(json.dumps(dict(stage.values))),
            "reads": [self._name(path) for path in stage.reads],
            "writes": {self._name(path): state_of(path) for path in stage.writes},
            "seconds": round(seconds, 2),
            "processor_seconds": round(processor_seconds, 2),
            "peak_mb": peak,
            "finished": time.strftime("%Y-%m-%dT%H:%M:%S%z"),
        }
        self._store()
        log.info("%s: %.1f s%s", stage.name, seconds, "" if peak is None else f", {peak} MB at most")

    def _store(self) -> None:
        content = {"format": FORMAT_VERSION, "owner": asdict(self.owner), "stages": self._records}
        if content != _read(self.folder):
            write_json(self.folder / MANIFEST, content)

    def _remove(self, path: Path) -> None:
        """What lies outside of the folder is only ever written anew: a manifest may come from elsewhere."""
        inside = Path(os.path.abspath(path))
        if Path(os.path.abspath(self.folder)) in inside.parents:
            _remove(inside)

    def _name(self, path: Path) -> str:
        """How the manifest calls a file, so that folders can be moved together."""
        try:
            return Path(os.path.relpath(path, self.folder)).as_posix()
        except ValueError:  # another drive
            return Path(path).absolute().as_posix()

    def _path(self, name: str) -> Path:
        return self.folder / name


def owner_of(image: GigapixelImage) -> Owner:
    """A folder of this photograph has this owner."""
    return Owner(os.path.abspath(image.path), image.content_hash)


def known_owner(folder: Path) -> Owner | None:
    """What a folder is about; None where no run has told."""
    return _owner(_read(folder))


def own_folder(root: Path, name: str, owner: Owner) -> Path:
    """``root/name``, unless that is about another photograph or sequence: then the name is followed by a few digits of the owner's own."""
    digits = owner.digest or hashlib.blake2b(owner.path.encode("utf-8", "surrogateescape"), digest_size=16).hexdigest()
    folders = root / name, root / f"{name}-{digits[:8]}"
    known = known_owner(folders[0])
    if known is None or not known.is_another(owner):
        return folders[0]
    log.warning("%s is about %s; %s is used", folders[0], known.path, folders[1])
    return folders[1]


def state_of(path: Path) -> str | None:
    """Digest of a file's bytes, or of names and sizes in a folder; None for what is not there."""
    if path.is_dir():
        listing = sorted((file.relative_to(path).as_posix(), file.stat().st_size) for file in path.rglob("*") if file.is_file())
        return hashlib.blake2b(json.dumps(listing).encode(), digest_size=12).hexdigest()
    return file_digest(path) if path.is_file() else None


def _read(folder: Path) -> dict[str, Any]:
    """The manifest of a folder; an empty one where there is none that this version wrote."""
    try:
        content = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
        stages, owner = content["stages"], content["owner"]
        whole = content["format"] == FORMAT_VERSION and set(owner) == {"path", "digest"}
        whole &= all(isinstance(part, str) for part in owner.values())
        for record in stages.values():
            whole &= isinstance(record["key"], str) and isinstance(record["reads"], list) and isinstance(record["writes"], dict)
            whole &= all("\0" not in name for name in {*record["reads"], *record["writes"]})
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError):
        whole = False
    return content if whole else {"stages": {}}


def _owner(manifest: Mapping[str, Any]) -> Owner | None:
    return Owner(**manifest["owner"]) if "owner" in manifest else None


def _overlap(first: Path, second: Path) -> bool:
    first, second = Path(os.path.abspath(first)), Path(os.path.abspath(second))
    return first == second or first in second.parents or second in first.parents


def _remove(path: Path) -> None:
    try:
        if path.is_dir():
            shutil.rmtree(path)
        else:
            path.unlink(missing_ok=True)
    except OSError as error:
        raise BadOutput(f"cannot replace {path}: {error.strerror or error}; close it, or choose another folder") from error
