"""`crowd3d export-weights`: weights of the release ↔ safetensors."""

from __future__ import annotations

import argparse
from pathlib import Path

from crowd3d.files import write_npz
from crowd3d.model.checkpoints import ReleasedCheckpoint, load_network, read_released_checkpoint, save_released_checkpoint, save_weights

SAFETENSORS = ".safetensors"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument("source", type=Path, help="a .pkl of the release, or a .safetensors file")
    parser.add_argument("target", type=Path, help="file to write; .safetensors, or .pkl for the release's format")
    parser.add_argument("--half", action="store_true", help="store the large tensors of a .safetensors file as float16")
    parser.add_argument("--smpl", type=Path, help="also write the SMPL arrays that a released .pkl carries, as .npz")


def run(arguments: argparse.Namespace) -> int:
    """Convert, and say what was written."""
    source, target = arguments.source, arguments.target
    if source.suffix == SAFETENSORS:
        network, metadata = load_network(source)
        checkpoint = ReleasedCheckpoint(network.state_dict(), {}, source)
    else:
        checkpoint = read_released_checkpoint(source)
        network = checkpoint.build()
        metadata = {"backbone": network.backbone_name, "body": "smpl", "source": source.name}
    if arguments.smpl is not None:
        write_npz(arguments.smpl, **checkpoint.body_arrays())
        print(f"wrote {arguments.smpl}")
    if target.suffix == SAFETENSORS:
        save_weights(target, network, metadata, half=arguments.half)
    else:
        save_released_checkpoint(target, network, checkpoint.smpl)
    print(f"wrote {target}: {metadata['backbone']}")
    return 0
