"""The user's settings: the only module that reads the settings file and the environment."""

from __future__ import annotations

import dataclasses
import os
import runpy
import sys
from dataclasses import dataclass
from pathlib import Path

from crowd3d.errors import MissingAsset

SETTINGS_FILE = "global_setting.py"
SOURCE = "Crowd3DNet"
"""Folder of a checkout that holds the package, and beside it what the release keeps there."""
PACKAGE = Path(__file__).resolve().parent
RESULTS = "crowd3d_results"


@dataclass(frozen=True)
class Home:
    """Where the program keeps what no setting names.

    Attributes:
        root: start of relative default paths: the checkout's folder, or the current folder for an installed package.
        settings: the settings file, which may be absent.
        shipped: weights and configs that came with the program; only read.
        own: what the user brings, such as released weights and SMPL files; may be absent.
        made: what training and fine-tuning leave.
        checkout: whether this is one.
    """

    root: Path
    settings: Path
    shipped: Path
    own: Path
    made: Path
    checkout: bool = True

    @classmethod
    def of_checkout(cls, root: Path) -> Home:
        """The folders of a checkout."""
        source = root / SOURCE
        return cls(root, root / SETTINGS_FILE, source, source, source)

    @classmethod
    def installed(cls) -> Home:
        """The folders of a package without a checkout: nothing in the current folder is executed, and results go there."""
        here, user = Path.cwd(), _user_folder()
        return cls(here, user / SETTINGS_FILE, PACKAGE, user, here / RESULTS, checkout=False)

    def default(self, name: str, in_checkout: Path | None) -> Path | None:
        """Absolute default of a setting, given the one that a checkout has."""
        results = Path(RESULTS)
        if not self.checkout:
            elsewhere = {
                "smpl_model_root": self.own / "smpl",
                "single_image_mid_root": results / "intermediate",
                "single_image_res_root": results,
                "test_mid_root": results / "test_mid",
                "test_res_root": results / "test_res",
            }
            in_checkout = elsewhere.get(name, in_checkout)
        return None if in_checkout is None else self.root / in_checkout


@dataclass(frozen=True)
class Settings:
    """Where things are. All paths are absolute; `None` means that the user has not set the value.

    The defaults below are those of a checkout; see `Home.default` for those of an installed package.

    Attributes:
        home: folders that no setting names.
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

    home: Home
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
    def root(self) -> Path:
        """The checkout's folder, or the current folder when the package was installed without one."""
        return self.home.root

    @property
    def pretrained_root(self) -> Path:
        """Folder of the shipped weights."""
        return self.home.shipped / "pretrained"

    @property
    def models_folder(self) -> Path:
        """Where `crowd3d fetch` puts networks: the user's cache, which all checkouts share, unless `models` names a folder."""
        return self.models or _cache_folder()

    @property
    def released_weights(self) -> Path:
        """Where the weights of the 2023 release go; the file may be absent."""
        return self.home.own / "pretrained" / "base_69.pkl"

    @property
    def configs_root(self) -> Path:
        """Folder of the yml files for training, per-scene optimisation and inference."""
        return self.home.shipped / "configs"

    @property
    def train_log_root(self) -> Path:
        """Folder of the training runs: states, weights, TensorBoard files."""
        return self.home.made / "train_log"

    @property
    def checkpoints_root(self) -> Path:
        """Folder of the networks that were fine-tuned on a scene."""
        return self.home.made / "checkpoints"

    @property
    def backbone_weights(self) -> Path:
        """Where the pre-trained HRNet of the release goes; the file may be absent."""
        return self.home.own / "public_params" / "trained_models" / "pretrain_hrnet.pkl"


def load_settings(root: Path | None = None) -> Settings:
    """Merge, in rising priority: the defaults, the settings file, environment variables CROWD3D_<NAME>.

    The settings file is `global_setting.py` of the checkout that this package belongs to, wherever the program is started; a package
    that was installed without one has it in the user's folder for settings (``~/.config/crowd3d`` on Linux).

    Args:
        root: a checkout to use instead.

    Raises:
        MissingAsset: the settings file cannot be executed, or gives a value that is not a path.
    """
    home = _home() if root is None else Home.of_checkout(root)
    chosen = _execute(home.settings)
    values: dict[str, Path | None] = {}
    for field in dataclasses.fields(Settings)[1:]:
        default = home.default(field.name, field.default)  # type: ignore[arg-type]
        # The environment is the shell's, so its relative paths start where the shell stands.
        variable = os.environ.get(f"CROWD3D_{field.name.upper()}")
        value = _absolute(field.name, chosen.get(field.name), home.settings.parent) if variable is None else _path(variable)
        values[field.name] = default if value is None else value
    return Settings(home=home, **values)  # type: ignore[arg-type]


def _home() -> Home:
    """Of the checkout that this package belongs to, if it belongs to one."""
    root = PACKAGE.parent.parent
    in_checkout = PACKAGE.parent.name == SOURCE and (root / SETTINGS_FILE).is_file()
    return Home.of_checkout(root) if in_checkout else Home.installed()


def _user_folder() -> Path:
    """Where this platform wants a user's settings of a program, and what they bring for it."""
    return _folder("Application Support", ("APPDATA", "Roaming"), ("XDG_CONFIG_HOME", ".config"))


def _cache_folder() -> Path:
    """Where this platform wants programs to keep what they can fetch again."""
    return _folder("Caches", ("LOCALAPPDATA", "Local"), ("XDG_CACHE_HOME", ".cache"))


def _folder(macos: str, windows: tuple[str, str], linux: tuple[str, str]) -> Path:
    """This program's folder: below ``Library`` on macOS; elsewhere where a variable says, or by default below ``AppData`` or the home."""
    home = Path.home()
    if sys.platform == "darwin":
        return home / "Library" / macos / "crowd3d"
    variable, fallback = windows if sys.platform == "win32" else linux
    chosen = Path(os.environ.get(variable, ""))
    above = home / "AppData" if sys.platform == "win32" else home
    return (chosen if chosen.is_absolute() else above / fallback) / "crowd3d"


def _execute(path: Path) -> dict[str, object]:
    if not path.is_file():
        return {}
    try:
        return runpy.run_path(str(path))
    except (SyntaxError, NameError, TypeError, AttributeError, ImportError, OSError, ValueError) as error:
        raise MissingAsset(f"{path} cannot be used: {error}; correct it, or delete it for the defaults") from error


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
