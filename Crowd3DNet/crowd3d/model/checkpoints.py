"""Weights on disk: the project's safetensors files, and the pickles of the 2023 release, read without executing them."""

from __future__ import annotations

import io
import pickle
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor, nn

from crowd3d.errors import MissingAsset
from crowd3d.files import atomic_path
from crowd3d.model.crowd3dnet import BACKBONES, Crowd3DNet

RELEASE_PREFIX = "module."
SMPL_PREFIX = "_result_parser.params_map_parser.smpl_model."
SMPL_FILLER = "betas"
SMPL_FILE_NAMES = {
    "v_template": "v_template",
    "shapedirs": "shapedirs",
    "posedirs": "posedirs",
    "J_regressor": "J_regressor",
    "lbs_weights": "weights",
    "faces_tensor": "f",
    "J_regressor_extra9": "J_regressor_extra9",
    "J_regressor_h36m17": "J_regressor_h36m17",
    "vertex_joint_selector.extra_joints_idxs": "extra_vertex_ids",
}
"""Buffer of the release's SMPL layer → name in SMPL's files and the project's body files."""
_UNREADABLE = (pickle.UnpicklingError, EOFError, OSError, RuntimeError, ValueError, LookupError, AttributeError, TypeError)
LISTED = 4
"""Tensors that an error message names."""


def save_weights(path: Path, module: nn.Module, metadata: Mapping[str, str], *, half: bool = False) -> None:
    """Write a module's state as safetensors, atomically.

    Args:
        path: file to write.
        module: its whole state dict is stored.
        metadata: short facts to store beside it, such as backbone and body.
        half: store convolution and linear weights as float16; vectors, which batch normalisation divides by, stay as they are.
    """
    state = {key: value.detach().cpu().contiguous() for key, value in module.state_dict().items()}
    if half:
        state = {key: value.half() if value.is_floating_point() and value.dim() > 1 else value for key, value in state.items()}
    content = save(state, metadata=dict(metadata))
    with atomic_path(Path(path)) as temporary:
        temporary.write_bytes(content)


def load_weights(path: Path) -> tuple[dict[str, Tensor], dict[str, str]]:
    """Read a safetensors file: float32 (and integer) tensors by name, and the metadata.

    Raises:
        MissingAsset: no such file, or it is truncated or of another format.
    """
    try:
        with safe_open(str(path), framework="pt") as file:
            state = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118 - the handle is not a mapping
            metadata = file.metadata() or {}
    except (OSError, SafetensorError) as error:
        raise MissingAsset(f"cannot read weights {path}: {error}; restore the file or choose another one with --weights") from error
    return {key: value.float() if value.is_floating_point() else value for key, value in state.items()}, metadata


def fill(module: nn.Module, state: Mapping[str, Tensor], path: Path) -> None:
    """Copy `state` into `module`, strictly.

    Args:
        module: network to fill.
        state: tensors by name.
        path: where they come from, for the message.

    Raises:
        MissingAsset: a tensor is missing, superfluous, or of the wrong shape or kind; the message names it.
    """
    own = module.state_dict()
    wrong = [
        f"{key} is {_describe(state[key])} instead of {_describe(value)}"
        for key, value in own.items()
        if key in state and (state[key].shape != value.shape or state[key].is_floating_point() != value.is_floating_point())
    ]
    complaints = [
        _listed("missing", [key for key in own if key not in state]),
        _listed("unknown", [key for key in state if key not in own]),
        _listed("wrong", wrong),
    ]
    problems = "; ".join(complaint for complaint in complaints if complaint)
    if problems:
        raise MissingAsset(f"{path} does not fit {type(module).__name__}: {problems}; use weights made for this network")
    module.load_state_dict(dict(state))


def load_network(path: Path) -> tuple[Crowd3DNet, dict[str, str]]:
    """Crowd3DNet from a safetensors file of the project, with the file's metadata.

    Raises:
        MissingAsset: the file is unreadable, not a Crowd3DNet, or does not fit.
    """
    state, metadata = load_weights(path)
    backbone = metadata.get("backbone")
    if backbone not in BACKBONES:
        raise MissingAsset(f"{path} names backbone {backbone}, not one of {', '.join(BACKBONES)}; use weights of a Crowd3DNet")
    network = Crowd3DNet(backbone)
    fill(network, state, path)
    return network.eval(), metadata


@dataclass(frozen=True)
class ReleasedCheckpoint:
    """Content of a checkpoint in the release's format.

    Attributes:
        network: state of `Crowd3DNet`, bare keys.
        smpl: SMPL arrays that such a checkpoint carries, bare names (v_template, shapedirs, posedirs, J_regressor, lbs_weights,
            faces_tensor, parents, J_regressor_extra9, J_regressor_h36m17, …), without the meaningless ``betas``.
        path: the file.
    """

    network: dict[str, Tensor]
    smpl: dict[str, Tensor]
    path: Path

    def body_arrays(self) -> dict[str, np.ndarray]:
        """The SMPL arrays under the names and in the layout of SMPL's own files, for `crowd3d.bodies`.

        Raises:
            MissingAsset: the checkpoint carries no SMPL model.
        """
        if not set(SMPL_FILE_NAMES) <= set(self.smpl):
            raise MissingAsset(f"{self.path} carries no SMPL model; put SMPL's own files where the README says")
        arrays = {name: self.smpl[buffer].numpy() for buffer, name in SMPL_FILE_NAMES.items()}
        arrays["posedirs"] = arrays["posedirs"].T.reshape(-1, 3, len(arrays["posedirs"]))
        parents = self.smpl["parents"].numpy()
        return {**arrays, "kintree_table": np.stack([parents, np.arange(len(parents))])}

    def build(self) -> Crowd3DNet:
        """The network, in eval mode, filled strictly.

        Raises:
            MissingAsset: a tensor is missing, superfluous or misshapen.
        """
        deconvolutions = any(key.startswith("backbone.deconv_layers.") for key in self.network)
        network = Crowd3DNet("resnet50" if deconvolutions else "hrnet_w32")
        fill(network, self.network, self.path)
        return network.eval()


def read_released_checkpoint(path: Path) -> ReleasedCheckpoint:
    """Read ``base_69.pkl``, a per-scene ``epoch_159.pkl`` or the like without executing anything in it.

    Raises:
        MissingAsset: no such file, truncated, not a checkpoint, or a pickle that asks for more than tensors.
    """
    path = Path(path)
    state = _read_pickle(path)
    smpl = {key.removeprefix(SMPL_PREFIX): value for key, value in state.items() if key.startswith(SMPL_PREFIX)}
    smpl.pop(SMPL_FILLER, None)
    return ReleasedCheckpoint({key: value for key, value in state.items() if not key.startswith(SMPL_PREFIX)}, smpl, path)


def load_backbone(network: Crowd3DNet, path: Path) -> None:
    """Fill the backbone with pre-trained weights, whose keys have no prefix; the classifier that they may carry is left out.

    Raises:
        MissingAsset: the file is unreadable, or lacks tensors of the backbone.
    """
    own = network.backbone.state_dict()
    state = _read_pickle(Path(path))
    # counters of batches came later than the file
    filled = {key: state.get(key, value) if key.endswith("num_batches_tracked") else state.get(key) for key, value in own.items()}
    fill(network.backbone, {key: value for key, value in filled.items() if value is not None}, path)


def _read_pickle(path: Path) -> dict[str, Tensor]:
    """State dict in a pickle, keys without the release's prefix."""
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
    except FileNotFoundError as error:
        raise MissingAsset(f"no weights at {path}; download them as the README says or choose another file with --weights") from error
    except _UNREADABLE as error:
        reason = f"{path} is not a readable checkpoint, nothing in it was executed: {_reason(error)}"
        raise MissingAsset(f"{reason}; download it again") from error
    if isinstance(content, dict):
        content = content.get("model_state_dict", content)
    if not isinstance(content, dict) or not content or not all(isinstance(value, Tensor) for value in content.values()):
        raise MissingAsset(f"{path} is not a checkpoint of Crowd3D: no state dict of tensors in it; use the release's base_69.pkl")
    return {str(key).removeprefix(RELEASE_PREFIX): value for key, value in content.items()}


def load_released_checkpoint(path: Path) -> Crowd3DNet:
    """The published network with released weights, in eval mode; strict.

    Raises:
        MissingAsset: the file is absent, unreadable, unsafe, or does not fit; the message names the tensors.
    """
    return read_released_checkpoint(path).build()


def save_released_checkpoint(path: Path, network: Crowd3DNet, smpl: Mapping[str, Tensor] | None = None) -> None:
    """Write the release's format: a pickled state dict with prefixed keys.

    Args:
        path: file to write.
        network: its weights.
        smpl: SMPL arrays as in `ReleasedCheckpoint.smpl`; the release's own loader takes its local SMPL files where they are absent.
    """
    state = dict(network.state_dict())
    backbone = {key: value for key, value in state.items() if key.startswith("backbone.")}
    body = {SMPL_PREFIX + key: value for key, value in (smpl or {}).items()}
    rest = {key: value for key, value in state.items() if key not in backbone}
    ordered = {RELEASE_PREFIX + key: value.detach().cpu() for key, value in {**backbone, **body, **rest}.items()}
    save_state(path, ordered)


def save_state(path: Path, content: Mapping[str, Any]) -> None:
    """Pickle tensors and plain values, atomically.

    Raises:
        BadOutput: the disk is full or the folder cannot be written; the file that was there is kept.
    """
    # torch reports a full disk as RuntimeError without a reason; a plain write names it.
    buffer = io.BytesIO()
    torch.save(dict(content), buffer)
    with atomic_path(Path(path)) as temporary:
        temporary.write_bytes(buffer.getbuffer())


def load_state(path: Path, device: torch.device) -> dict[str, Any]:
    """Read what `save_state` wrote, without executing anything in it.

    Raises:
        MissingAsset: the file is broken.
    """
    try:
        content = torch.load(path, map_location=device, weights_only=True)
    except _UNREADABLE as error:
        raise MissingAsset(f"cannot read the state {path}: {_reason(error)}; delete it to start again") from error
    return content


def _reason(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0]


def _describe(tensor: Tensor) -> str:
    return f"{str(tensor.dtype).removeprefix('torch.')} {tuple(tensor.shape)}"


def _listed(complaint: str, items: list[str]) -> str:
    if not items:
        return ""
    more = f" and {len(items) - LISTED} more" if len(items) > LISTED else ""
    return f"{len(items)} {complaint}: {', '.join(items[:LISTED])}{more}"
