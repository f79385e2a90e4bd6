"""Pickles of SMPL and of the release's data sets without chumpy, and without executing anything that a pickle asks for."""

from __future__ import annotations

import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from scipy import sparse

try:
    from numpy._core import multiarray
except ImportError:  # numpy 1
    from numpy.core import multiarray  # type: ignore[no-redef]


class _Inert:
    """Stands for an object of a foreign class; keeps what the pickle says about it."""

    def __init__(self) -> None:
        self.state: dict[str, Any] = {}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.state = state


class _Chumpy(_Inert):
    """A chumpy expression: a plain value or a selection from one."""

    def array(self) -> np.ndarray:
        if "x" in self.state:
            return as_array(self.state["x"])
        chosen = as_array(self.state["a"]).ravel()[as_array(self.state["idxs"])]
        return chosen.reshape(self.state["preferred_shape"])


class _Compressed(_Inert):
    """A compressed sparse matrix of SciPy."""

    kind: Callable[..., Any]

    def array(self) -> np.ndarray:
        shape = self.state["_shape"] if "_shape" in self.state else self.state["shape"]
        return type(self).kind((self.state["data"], self.state["indices"], self.state["indptr"]), shape=shape).toarray()


class _Csc(_Compressed):
    kind = sparse.csc_matrix


class _Csr(_Compressed):
    kind = sparse.csr_matrix


def _new_inert(kind: type[_Inert], base: type, state: None) -> _Inert:
    """What ``copyreg._reconstructor`` does, for our own stand-ins only."""
    if not issubclass(kind, _Inert):
        raise pickle.UnpicklingError(f"an object of {kind.__name__}")
    return kind()


def _encode(text: str, encoding: str) -> bytes:
    """How Python 3 writes bytes into protocol 2."""
    return text.encode(encoding)


def _from_buffer(buffer: Any, dtype: np.dtype, shape: tuple[int, ...], order: str) -> np.ndarray:
    """How NumPy writes arrays into protocol 5."""
    return np.frombuffer(buffer, dtype).reshape(shape, order=order)  # type: ignore[call-overload]


_ALLOWED: dict[tuple[str, str], Any] = {
    ("numpy", "ndarray"): np.ndarray,
    ("numpy", "dtype"): np.dtype,
    ("_codecs", "encode"): _encode,
    ("__builtin__", "object"): object,
    ("builtins", "object"): object,
    ("collections", "OrderedDict"): dict,
    ("numpy.core.numeric", "_frombuffer"): _from_buffer,
    ("numpy._core.numeric", "_frombuffer"): _from_buffer,
    ("copy_reg", "_reconstructor"): _new_inert,
    ("copyreg", "_reconstructor"): _new_inert,
}
for _module in ("numpy.core.multiarray", "numpy._core.multiarray"):
    _ALLOWED[_module, "_reconstruct"] = multiarray._reconstruct
    _ALLOWED[_module, "scalar"] = multiarray.scalar
for _module in ("csc", "_csc"):
    _ALLOWED[f"scipy.sparse.{_module}", "csc_matrix"] = _Csc
for _module in ("csr", "_csr"):
    _ALLOWED[f"scipy.sparse.{_module}", "csr_matrix"] = _Csr


DAMAGED = (EOFError, LookupError, ValueError, AttributeError, TypeError, ImportError, MemoryError, OverflowError, RecursionError)
"""What a damaged pickle raises besides `pickle.UnpicklingError`: it may ask for any length."""


class _Unpickler(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        if module.split(".")[0] == "chumpy":
            return _Chumpy
        if (module, name) not in _ALLOWED:
            raise pickle.UnpicklingError(f"it asks for {module}.{name}")
        return _ALLOWED[module, name]


def as_array(value: Any) -> np.ndarray:
    """A dense array of a value that `read_arrays` met."""
    return value.array() if isinstance(value, _Chumpy | _Compressed) else np.asarray(value)


def read_pickle(path: Path) -> Any:
    """Content of a pickle made of Python's own values and NumPy arrays.

    Raises:
        OSError: the file cannot be read.
        pickle.UnpicklingError: the file is no such pickle, is damaged, or asks for anything else.
    """
    with path.open("rb") as file:
        try:
            return _Unpickler(file, encoding="latin1").load()
        except DAMAGED as error:
            raise pickle.UnpicklingError(f"damaged: {str(error) or type(error).__name__}") from error


def read_arrays(path: Path, keys: tuple[str, ...]) -> dict[str, np.ndarray]:
    """Named arrays of a pickled dictionary, sparse and chumpy ones made dense.

    Raises:
        OSError: the file cannot be read.
        KeyError: a key is absent.
        pickle.UnpicklingError: the file is no such pickle, is damaged, or asks for anything but arrays.
    """
    content = read_pickle(path)
    if not isinstance(content, dict):
        raise pickle.UnpicklingError("it holds no dictionary")
    return {key: as_array(content[key]) for key in keys}
