"""Settings of training, fine-tuning and inference: yml files, checked against a frozen dataclass."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TypeVar

from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException
from yaml import YAMLError

from crowd3d.errors import BadConfig

Schema = TypeVar("Schema")


def read_config(path: Path, schema: type[Schema], overrides: Sequence[str] = ()) -> Schema:
    """Read a yml file, which is never written.

    Args:
        path: yml file; keys that it leaves out keep the defaults of `schema`.
        schema: frozen dataclass with the known keys and their types.
        overrides: ``key=value``, or ``key.inner=value`` for what is nested; they win over the file.

    Raises:
        BadConfig: the file cannot be read, or file or overrides have an unknown key or a value of the wrong type.
    """
    source = str(path)
    try:
        config = OmegaConf.merge(OmegaConf.structured(schema), OmegaConf.load(path))
        for override in overrides:
            source = f"argument {override!r}"
            if "=" not in override:
                raise BadConfig(f"{source} is not of the form key=value; keys are listed in {path}")
            config = OmegaConf.merge(config, OmegaConf.from_dotlist([override]))
        source = str(path)
        return OmegaConf.to_object(config)  # type: ignore[return-value]
    except OSError as error:
        raise BadConfig(f"cannot read {path}: {error.strerror}; restore it with `git checkout`") from error
    except (OmegaConfBaseException, YAMLError) as error:
        reason, *details = str(error).splitlines()
        key = next((line.split("full_key:")[1].strip() for line in details if "full_key:" in line), "")
        raise BadConfig(f"{source}: {key + ': ' if key else ''}{reason}; the keys and their types are in {schema.__name__}") from error
