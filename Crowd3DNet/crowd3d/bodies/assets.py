"""Where bodies come from: the shipped free one, official SMPL files, or a file of the same layout."""

from __future__ import annotations

import pickle
import re
import zipfile
import zlib
from functools import lru_cache
from importlib import resources
from pathlib import Path

import numpy as np

from crowd3d.bodies.body import Body
from crowd3d.bodies.joints import H36M17_FROM_OFFICIAL, SMPL_EXTRA_VERTEX_IDS
from crowd3d.bodies.smpl_files import find_smpl, foreign_content, lookalikes, other_model
from crowd3d.bodies.unpickle import read_arrays
from crowd3d.errors import MissingAsset

FREE_BODIES = {"free": "free_body_high", "free_low": "free_body_low", "free_body_high": "free_body_high", "free_body_low": "free_body_low"}
GENDERS = ("neutral", "male", "female")
SMPL_KEYS = ("v_template", "shapedirs", "posedirs", "J_regressor", "weights", "kintree_table", "f")
EXTRA_KEYS = ("extra_vertex_ids", "J_regressor_extra9", "J_regressor_h36m17")


def load_body(name: str | Path = "auto", gender: str = "neutral", smpl_folder: Path | None = None) -> Body:
    """Load a body.

    Args:
        name: ``auto`` (SMPL if `smpl_folder` has it, else the free body), ``free`` (12 000 vertices), ``free_low`` (1200 vertices,
            same betas), ``smpl``, the `Body.name` of any of these, or the path of an ``.npz`` or ``.pkl`` with SMPL's keys.
        gender: ``neutral``, ``male`` or ``female``; SMPL only.
        smpl_folder: folder with SMPL's files by their official names or as ``SMPL_NEUTRAL.pkl`` (see `find_smpl`), and with
            ``J_regressor_extra.npy`` and ``J_regressor_h36m.npy``.

    Raises:
        MissingAsset: the body is not there or not usable.
    """
    if name in FREE_BODIES:
        return _free(str(name))
    if isinstance(name, str) and name.removeprefix("smpl_") in GENDERS:
        name, gender = "smpl", name.removeprefix("smpl_")
    if name in ("auto", "smpl"):
        found = None if smpl_folder is None else find_smpl(Path(smpl_folder), gender)
        if found is not None:
            return _from_file(found, f"smpl_{gender}", smpl_folder)
        if name == "auto":
            return _free("free")
        raise MissingAsset(
            f"no {official_names(gender)} in {smpl_folder}{_instead(smpl_folder)}; download SMPL from https://smpl.is.tue.mpg.de, "
            "set smpl_model_root in global_setting.py, or use the body 'free'"
        )
    path = Path(name)
    if not path.is_file():
        raise MissingAsset(f"no body file {path}; give 'auto', 'free', 'free_low', 'smpl' or the path of an .npz or .pkl in SMPL's layout")
    return _from_file(path, path.stem)


@lru_cache(maxsize=len(FREE_BODIES))
def _free(name: str) -> Body:
    stem = FREE_BODIES[name]
    with resources.as_file(resources.files("crowd3d.bodies") / "data" / f"{stem}.npz") as path:
        return _from_file(path, stem)


def official_names(gender: str) -> str:
    """How SMPL's file of a gender may be called, in words."""
    letter = {"neutral": "neutral", "male": "m", "female": "f"}[gender]
    return f"SMPL_{gender.upper()}.pkl or .npz, nor basicmodel_{letter}_lbs_10_207_0_v1.1.0.pkl,"


def _instead(folder: Path | None) -> str:
    """What else is there."""
    others = [] if folder is None else [path.name for path in lookalikes(Path(folder))]
    return f" (there are {', '.join(others[:4])})" if others else ""


def _from_file(path: Path, name: str, regressor_folder: Path | None = None) -> Body:
    try:
        foreign = foreign_content(path)
        if foreign is not None:
            raise MissingAsset(f"{path} is {foreign}, or use the body 'free'")
        arrays = _read_npz(path) if path.suffix.lower() == ".npz" else read_arrays(path, SMPL_KEYS)
        other = other_model(arrays)
        if other is not None:
            raise MissingAsset(f"{path} is {other}, not SMPL, which has 6890 vertices and 24 joints; replace it or use the body 'free'")
        if arrays.keys().isdisjoint(EXTRA_KEYS):
            arrays |= _official_regressors([path.parent] + ([] if regressor_folder is None else [Path(regressor_folder)]))
        return Body.from_arrays(arrays, name)
    except KeyError as error:
        raise MissingAsset(f"{path} has no array {error}; replace it by SMPL's own file or use the body 'free'") from error
    except pickle.UnpicklingError as error:
        cut = ", the file is cut off" if re.search(r"truncated|Ran out|EOF|exhausted", str(error)) else ""
        raise MissingAsset(f"{path} is no usable body ({error}{cut}); replace it by SMPL's own file or use the body 'free'") from error
    except (OSError, ValueError, EOFError, zipfile.BadZipFile, zlib.error, MemoryError) as error:
        raise MissingAsset(f"{path} is no usable body ({error}); replace it by SMPL's own file or use the body 'free'") from error


def _read_npz(path: Path) -> dict[str, np.ndarray]:
    """Those arrays that a body needs: files of SMPL hold others that are Python's objects."""
    with np.load(path, allow_pickle=False) as file:
        if not isinstance(file, np.lib.npyio.NpzFile):
            raise ValueError("a single array")
        return {key: file[key] for key in file.files if key in (*SMPL_KEYS, *EXTRA_KEYS, "hair")}


def _official_regressors(folders: list[Path]) -> dict[str, np.ndarray]:
    """The two regressors beside an official file or in the folder of all of them, and its landmark vertices."""
    names = ("J_regressor_extra.npy", "J_regressor_h36m.npy")
    paths = [next((folder / name for folder in folders if (folder / name).is_file()), None) for name in names]
    missing = [name for name, path in zip(names, paths, strict=True) if path is None]
    if missing:
        where = " or ".join(dict.fromkeys(map(str, folders)))
        raise MissingAsset(f"{' and '.join(missing)} not found in {where}; put them beside SMPL's file or use the body 'free'")
    extra9, h36m = (np.load(path, allow_pickle=False) for path in paths if path is not None)
    return {
        "extra_vertex_ids": np.array(SMPL_EXTRA_VERTEX_IDS),
        "J_regressor_extra9": extra9,
        "J_regressor_h36m17": h36m[H36M17_FROM_OFFICIAL],
    }
