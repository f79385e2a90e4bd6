"""Finding and reading body files: SMPL's pickles as Python 2 wrote them, npz files, and files that are no such thing."""

from __future__ import annotations

import os
import pickle
import struct
import sys
import types
import zipfile
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest
from scipy import sparse

from crowd3d.bodies import SMPL_PARENTS, Body, load_body
from crowd3d.bodies.joints import H36M17_FROM_OFFICIAL, SMPL_EXTRA_VERTEX_IDS
from crowd3d.bodies.smpl_files import find_smpl
from crowd3d.errors import MissingAsset

VERTICES = 6890


class Python2Pickler(pickle._Pickler):  # type: ignore[name-defined]
    """Writes text and bytes as Python 2's byte strings, and modules under their old names."""

    dispatch: ClassVar[dict[Any, Any]] = dict(pickle._Pickler.dispatch)  # type: ignore[attr-defined]
    old_names: ClassVar[dict[str, str]] = {
        "scipy.sparse._csc": "scipy.sparse.csc",
        "numpy._core.multiarray": "numpy.core.multiarray",
    }

    def save_bytes(self, value: bytes) -> None:
        self.write(b"T" + struct.pack("<i", len(value)) + value)

    def save_text(self, value: str) -> None:
        self.save_bytes(value.encode("latin1"))

    def save_global(self, value: Any, name: str | None = None) -> None:
        module = self.old_names.get(value.__module__, value.__module__)
        self.write(f"c{module}\n{name or value.__qualname__}\n".encode())

    dispatch[bytes] = save_bytes
    dispatch[str] = save_text
    dispatch[type] = save_global
    dispatch[types.FunctionType] = save_global


@pytest.fixture(scope="module")
def arrays() -> dict[str, np.ndarray]:
    rng = np.random.default_rng(0)
    regressor = np.zeros((24, VERTICES))
    for row in regressor:
        row[rng.choice(VERTICES, 8, replace=False)] = rng.dirichlet(np.ones(8))
    return {
        "v_template": rng.normal(0, 0.5, (VERTICES, 3)),
        "shapedirs": rng.normal(0, 0.02, (VERTICES, 3, 10)),
        "posedirs": rng.normal(0, 0.01, (VERTICES, 3, 207)).astype(np.float32),
        "J_regressor": regressor,
        "weights": rng.dirichlet(np.ones(24), VERTICES),
        "kintree_table": np.stack([np.where(SMPL_PARENTS < 0, 2**32 - 1, SMPL_PARENTS), np.arange(24)]).astype(np.uint32),
        "f": rng.integers(0, VERTICES, (100, 3)).astype(np.uint32),
        "extra9": rng.dirichlet(np.ones(VERTICES), 9),
        "h36m": rng.dirichlet(np.ones(VERTICES), 17),
    }


@pytest.fixture
def chumpy(monkeypatch: pytest.MonkeyPatch) -> tuple[type, type]:
    """Stand-ins that are pickled under chumpy's names and are gone when the file is read."""
    kinds = []
    monkeypatch.setitem(sys.modules, "chumpy", types.ModuleType("chumpy"))
    for module, name in (("chumpy.ch", "Ch"), ("chumpy.reordering", "Select")):
        kind = type(name, (), {"__module__": module})
        monkeypatch.setitem(sys.modules, module, types.ModuleType(module))
        setattr(sys.modules[module], name, kind)
        kinds.append(kind)
    return kinds[0], kinds[1]


def write_smpl(folder: Path, arrays: dict[str, np.ndarray], chumpy: tuple[type, type], python2: bool) -> Path:
    value, selection = chumpy[0](), chumpy[1]()
    value.__dict__.update(x=arrays["v_template"])
    inner = chumpy[0]()
    inner.__dict__.update(x=arrays["shapedirs"].ravel()[::-1].copy())
    selection.__dict__.update(a=inner, idxs=np.arange(arrays["shapedirs"].size)[::-1].copy(), preferred_shape=arrays["shapedirs"].shape)
    content = {key: arrays[key] for key in ("posedirs", "weights", "kintree_table", "f")}
    content |= {"v_template": value, "shapedirs": selection, "J_regressor": sparse.csc_matrix(arrays["J_regressor"]), "bs_type": "lrotmin"}
    folder.mkdir(parents=True, exist_ok=True)
    np.save(folder / "J_regressor_extra.npy", arrays["extra9"])
    np.save(folder / "J_regressor_h36m.npy", arrays["h36m"])
    path = folder / "SMPL_NEUTRAL.pkl"
    with path.open("wb") as file:
        (Python2Pickler if python2 else pickle.Pickler)(file, protocol=2).dump(content)
    return path


@pytest.mark.parametrize("python2", [True, False])
def test_official_pickle_without_chumpy(
    tmp_path: Path, arrays: dict[str, np.ndarray], chumpy: tuple[type, type], python2: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_smpl(tmp_path, arrays, chumpy, python2)
    for module in ("chumpy", "chumpy.ch", "chumpy.reordering"):
        monkeypatch.delitem(sys.modules, module)
    body = load_body("auto", smpl_folder=tmp_path)
    expected = Body.from_arrays(
        arrays
        | {
            "extra_vertex_ids": np.array(SMPL_EXTRA_VERTEX_IDS),
            "J_regressor_extra9": arrays["extra9"],
            "J_regressor_h36m17": arrays["h36m"][H36M17_FROM_OFFICIAL],
        },
        "smpl_neutral",
    )
    assert body.name == expected.name
    rng = np.random.default_rng(1)
    pose, betas = rng.normal(0, 0.4, (1, 24, 3)), rng.normal(size=(1, 10))
    for got, wanted in zip(body.pose(pose, betas), expected.pose(pose, betas), strict=True):
        np.testing.assert_allclose(got, wanted, atol=1e-12)
    np.testing.assert_array_equal(body.regressor_h36m17, expected.regressor_h36m17)
    np.testing.assert_array_equal(body.faces, expected.faces)


def test_npz_is_preferred_and_gender_chooses(tmp_path: Path) -> None:
    free = load_body("free_low")
    saved = {
        "v_template": free.template,
        "shapedirs": free.shapedirs,
        "posedirs": np.zeros((len(free.template), 3, 207)),
        "J_regressor": np.full((24, len(free.template)), 1 / len(free.template)),
        "weights": free.weights,
        "f": free.faces,
        "extra_vertex_ids": free.extra_vertex_ids,
        "J_regressor_extra9": free.regressor_extra9,
        "J_regressor_h36m17": free.regressor_h36m17,
    }
    np.savez(tmp_path / "SMPL_FEMALE.npz", **saved)
    (tmp_path / "SMPL_FEMALE.pkl").write_bytes(b"not read")
    assert load_body("smpl", gender="female", smpl_folder=tmp_path).name == "smpl_female"
    assert load_body("auto", gender="male", smpl_folder=tmp_path).name == "free_body_high"
    own = load_body(tmp_path / "SMPL_FEMALE.npz")
    np.testing.assert_allclose(own.joint_template[5], free.template.mean(0))


@pytest.mark.parametrize(
    "name",
    [
        "basicmodel_neutral_lbs_10_207_0_v1.1.0.pkl",
        "basicModel_neutral_lbs_10_207_0_v1.0.0.pkl",
        "smpl_neutral.pkl",
        "SMPL_python_v.1.1.0/smpl/models/basicmodel_neutral_lbs_10_207_0_v1.1.0.pkl",
    ],
)
def test_official_names(name: str, tmp_path: Path, arrays: dict[str, np.ndarray], chumpy: tuple[type, type]) -> None:
    path = write_smpl(tmp_path, arrays, chumpy, python2=False)
    assert find_smpl(tmp_path, "neutral") == path
    (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
    path.rename(tmp_path / name)
    assert find_smpl(tmp_path, "neutral") == tmp_path / name
    assert find_smpl(tmp_path, "male") is None
    assert load_body("auto", smpl_folder=tmp_path).name == "smpl_neutral"


def test_genders_by_their_letters(tmp_path: Path) -> None:
    for letter in "mf":
        (tmp_path / f"basicModel_{letter}_lbs_10_207_0_v1.0.0.pkl").touch()
    assert find_smpl(tmp_path, "male") == tmp_path / "basicModel_m_lbs_10_207_0_v1.0.0.pkl"
    assert find_smpl(tmp_path, "female") == tmp_path / "basicModel_f_lbs_10_207_0_v1.0.0.pkl"
    assert find_smpl(tmp_path, "neutral") is None
    assert find_smpl(tmp_path / "absent", "neutral") is None


def test_an_archive_is_to_be_unpacked(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "SMPL_NEUTRAL.pkl", "w") as archive:
        archive.writestr("smpl/models/basicmodel_neutral_lbs_10_207_0_v1.1.0.pkl", b"x")
    with pytest.raises(MissingAsset, match=r"a ZIP archive with smpl/models/basicmodel_neutral.* in it; unpack it"):
        load_body("auto", smpl_folder=tmp_path)


class Execute:
    """Makes a folder when a careless reader unpickles it."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, tuple[str]]:
        return os.mkdir, (str(self.path),)


class Foreign:
    pass


@pytest.mark.parametrize("protocol", [0, 2, 4])
def test_malicious_pickle_runs_nothing(tmp_path: Path, protocol: int) -> None:
    mark = tmp_path / "executed"
    path = tmp_path / "SMPL_NEUTRAL.pkl"
    path.write_bytes(pickle.dumps({"v_template": Execute(mark)}, protocol=protocol))
    with pytest.raises(MissingAsset, match="mkdir"):
        load_body("auto", smpl_folder=tmp_path)
    assert not mark.exists()


def test_pickle_of_foreign_objects_is_refused(tmp_path: Path) -> None:
    for name, content in (("a", pickle.dumps({"v_template": Foreign()}, protocol=0)), ("b", b"cbuiltins\neval\n(S'1+1'\ntR.")):
        path = tmp_path / f"{name}.pkl"
        path.write_bytes(content)
        with pytest.raises(MissingAsset, match="asks for"):
            load_body(path)


@pytest.mark.parametrize("suffix", ["npz", "pkl"])
@pytest.mark.parametrize(
    "content",
    [b"", b"\x80\x02}q\x00(X\x05", b"hello\n", pickle.dumps([1, 2]), pickle.dumps({"v_template": 1}), b"\x80\x02}r\xff\xff\xff\xff."],
)
def test_damaged_or_foreign_file(tmp_path: Path, suffix: str, content: bytes) -> None:
    path = tmp_path / f"SMPL_NEUTRAL.{suffix}"
    path.write_bytes(content)
    with pytest.raises(MissingAsset, match=path.name):
        load_body("smpl", smpl_folder=tmp_path)


def test_missing_regressor_is_named(tmp_path: Path, arrays: dict[str, np.ndarray], chumpy: tuple[type, type]) -> None:
    write_smpl(tmp_path, arrays, chumpy, python2=False)
    (tmp_path / "J_regressor_h36m.npy").unlink()
    with pytest.raises(MissingAsset, match=r"J_regressor_h36m\.npy not found"):
        load_body("auto", smpl_folder=tmp_path)


def test_truncated_free_body(tmp_path: Path) -> None:
    source = Path(sys.modules["crowd3d.bodies"].__file__ or "").parent / "data" / "free_body_low.npz"
    path = tmp_path / "body.npz"
    path.write_bytes(source.read_bytes()[:100_000])
    with pytest.raises(MissingAsset, match="cut off after 100000 bytes"):
        load_body(path)


def test_absent_bodies_list_the_fixes(tmp_path: Path) -> None:
    with pytest.raises(MissingAsset, match=r"smpl_model_root.*'free'"):
        load_body("smpl", smpl_folder=tmp_path)
    with pytest.raises(MissingAsset, match="'free_low'"):
        load_body(tmp_path / "nothing.npz")
