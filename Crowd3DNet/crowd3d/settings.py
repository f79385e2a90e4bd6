"""The user's settings: the only module that reads `global_setting.py` and the environment."""

from __future__ import annotations

import dataclasses
import os
import runpy
import sys
from dataclasses import dataclass
from pathlib import Path

from crowd3d.errors import MissingAsset

SETTINGS_FILE = "global_setting.py"
CHECKOUT_ROOT = Path(__file__).resolve().parents[2]


@dataclass(frozen=True)
class Settings:
    """Where things are. All paths are absolute; `None` means that the user has not set the value.

    Attributes:
        root: the checkout's folder, or the current folder when the package was installed without one.
        alphapose_root: checkout of AlphaPose.
        alphapose_python: interpreter of AlphaPose's own environment.
        smpl_model_root: folder of the official SMPL files, which may be absent.
        crowd3dnet_weights: weights chosen by the user; see `released_weights` and `pretrained_root` for the automatic choice.
        single_image_mid_root: intermediate files of `process.py`, one folder per image.
        single_image_res_root: results of `inference.py`, one folder per image.
        train_data_root: the published training sets.
        largecrowd_root: the LargeCrowd benchmark's images.
        test_mid_root: intermediate files of the benchmark.
        test_res_root: results of the benchmark.
        models: chosen folder for fetched networks, see `models_folder`.
    """

    root: Path
    alphapose_root: Path | None = None
    alphapose_python: Path | None = None
    smpl_model_root: Path = Path("Crowd3DNet/public_params/model_data/parameters/smpl")
    crowd3dnet_weights: Path | None = None
    single_image_mid_root: Path = Path("single_image/single_image_mid")
    single_image_res_root: Path = Path("single_image/single_image_res")
    train_data_root: Path = Path("data/train_data")
    largecrowd_root: Path = Path("data/largecrowd")
    test_mid_root: Path = Path("test/test_mid")
    test_res_root: Path = Path("test/test_res")
    models: Path | None = None

    @property
    def pretrained_root(self) -> Path:
        """Folder of the shipped weights and of the released ones."""
        return self.root / "Crowd3DNet" / "pretrained"

    @property
    def models_folder(self) -> Path:
        """Where `crowd3d fetch` puts networks: the user's cache, which all checkouts share, unless `models` names a folder."""
        return self.models or _cache_folder()

    @property
    def released_weights(self) -> Path:
        """Where the weights of the 2023 release go; the file may be absent."""
        return self.pretrained_root / "base_69.pkl"

    @property
    def configs_root(self) -> Path:
        """Folder of the yml files for training, per-scene optimisation and inference."""
        return self.root / "Crowd3DNet" / "configs"

    @property
    def train_log_root(self) -> Path:
        """Folder of the training runs: states, weights, TensorBoard files."""
        return self.root / "Crowd3DNet" / "train_log"

    @property
    def backbone_weights(self) -> Path:
        """Where the pre-trained HRNet of the release goes; the file may be absent."""
        return self.root / "Crowd3DNet" / "public_params" / "trained_models" / "pretrain_hrnet.pkl"


def load_settings(root: Path | None = None) -> Settings:
    """Merge, in rising priority: the defaults, `global_setting.py`, environment variables CROWD3D_<NAME>.

    Args:
        root: folder that holds `global_setting.py`; by default the checkout that this package belongs to, wherever the program is started.

    Raises:
        MissingAsset: `global_setting.py` cannot be executed, or gives a value that is not a path.
    """
    if root is None:
        root = CHECKOUT_ROOT if (CHECKOUT_ROOT / SETTINGS_FILE).is_file() else Path.cwd()
    chosen = _execute(root / SETTINGS_FILE)
    values: dict[str, Path | None] = {}
    for field in dataclasses.fields(Settings)[1:]:
        default = _absolute(field.name, field.default, root)
        # The environment is the shell's, so its relative paths start where the shell stands.
        variable = os.environ.get(f"CROWD3D_{field.name.upper()}")
        value = _absolute(field.name, chosen.get(field.name), root) if variable is None else _path(variable)
        values[field.name] = default if value is None else value
    return Settings(root=root, **values)  # type: ignore[arg-type]


def _cache_folder() -> Path:
    """Where this platform wants programs to keep what they can fetch again."""
    home = Path.home()
    if sys.platform == "darwin":
        return home / "Library" / "Caches" / "crowd3d"
    chosen = Path(os.environ.get("LOCALAPPDATA" if sys.platform == "win32" else "XDG_CACHE_HOME", ""))
    fallback = home / "AppData" / "Local" if sys.platform == "win32" else home / ".cache"
    return (chosen if chosen.is_absolute() else fallback) / "crowd3d"


def _execute(path: Path) -> dict[str, object]:
    if not path.is_file():
        return {}
    try:
        return runpy.run_path(str(path))
    except (SyntaxError, NameError, TypeError, AttributeError, ImportError, OSError, ValueError) as error:
        raise MissingAsset(f"{path} cannot be used: {error}; correct it or run `git checkout {path.name}`") from error


def _path(text: str) -> Path | None:
    return Path(text).expanduser().absolute() if text else None


def _absolute(name: str, value: object, root: Path) -> Path | None:
    if value is None or value == "":
        return None
    if not isinstance(value, str | Path):
        raise MissingAsset(f"{SETTINGS_FILE}: {name} is {value!r}, not a path in quotes; correct that line")
    return root / Path(value).expanduser()


def processes_per_node() -> int:
    """How many processes ``torchrun`` started on this machine; 1 without it."""
    return int(os.environ.get("LOCAL_WORLD_SIZE", "1"))
