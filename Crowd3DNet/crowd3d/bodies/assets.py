"""Where bodies come from: the shipped free one, official SMPL files, or a file of the same layout."""

from __future__ import annotations

import pickle
import zipfile
from importlib import resources
from pathlib import Path

import numpy as np

from crowd3d.bodies.body import Body
from crowd3d.bodies.joints import H36M17_FROM_OFFICIAL, SMPL_EXTRA_VERTEX_IDS
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
        smpl_folder: folder with ``SMPL_NEUTRAL.pkl`` or ``.npz`` and so on, ``J_regressor_extra.npy``, ``J_regressor_h36m.npy``.

    Raises:
        MissingAsset: the body is not there or not usable.
    """
    if name in FREE_BODIES:
        return _free(str(name))
    if isinstance(name, str) and name.removeprefix("smpl_") in GENDERS:
        name, gender = "smpl", name.removeprefix("smpl_")
    if name in ("auto", "smpl"):
        candidates = [] if smpl_folder is None else [Path(smpl_folder) / f"SMPL_{gender.upper()}.{suffix}" for suffix in ("npz", "pkl")]
        found = next((path for path in candidates if path.is_file()), None)
        if found is not None:
            return _from_file(found, f"smpl_{gender}")
        if name == "auto":
            return _free("free")
        raise MissingAsset(
            f"no SMPL_{gender.upper()}.pkl or .npz in {smpl_folder}; download SMPL from https://smpl.is.tue.mpg.de, "
            "set smpl_model_root in global_setting.py, or use the body 'free'"
        )
    path = Path(name)
    if not path.is_file():
        raise MissingAsset(f"no body file {path}; give 'auto', 'free', 'free_low', 'smpl' or the path of an .npz or .pkl in SMPL's layout")
    return _from_file(path, path.stem)


def _free(name: str) -> Body:
    stem = FREE_BODIES[name]
    with resources.as_file(resources.files("crowd3d.bodies") / "data" / f"{stem}.npz") as path:
        return _from_file(path, stem)


def _from_file(path: Path, name: str) -> Body:
    try:
        arrays = _read_npz(path) if path.suffix == ".npz" else read_arrays(path, SMPL_KEYS)
        if arrays.keys().isdisjoint(EXTRA_KEYS):
            arrays |= _official_regressors(path.parent)
        return Body.from_arrays(arrays, name)
    except KeyError as error:
        raise MissingAsset(f"{path} has no array {error}; replace it by SMPL's own file or use the body 'free'") from error
    except (OSError, ValueError, EOFError, zipfile.BadZipFile, pickle.UnpicklingError) as error:
        raise MissingAsset(f"{path} is no usable body ({error}); replace it by SMPL's own file or use the body 'free'") from error


def _read_npz(path: Path) -> dict[str, np.ndarray]:
    with np.load(path, allow_pickle=False) as file:
        return {key: file[key] for key in file.files}


def _official_regressors(folder: Path) -> dict[str, np.ndarray]:
    """The two regressors beside an official file, and its landmark vertices."""
    paths = [folder / "J_regressor_extra.npy", folder / "J_regressor_h36m.npy"]
    missing = [path.name for path in paths if not path.is_file()]
    if missing:
        raise MissingAsset(f"{' and '.join(missing)} not found in {folder}; put them beside SMPL's file or use the body 'free'")
    extra9, h36m = (np.load(path, allow_pickle=False) for path in paths)
    return {
        "extra_vertex_ids": np.array(SMPL_EXTRA_VERTEX_IDS),
        "J_regressor_extra9": extra9,
        "J_regressor_h36m17": h36m[H36M17_FROM_OFFICIAL],
    }
