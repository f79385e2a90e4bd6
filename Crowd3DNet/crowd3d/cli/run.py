"""What every command shares: parsing, logging, and turning errors into one line and an exit code."""

from __future__ import annotations

import argparse
import gc
import logging
import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from crowd3d.cli import USUAL_THRESHOLDS
from crowd3d.cli.console import make_streams_safe
from crowd3d.errors import Crowd3DError
from crowd3d.progress import telling

FAILED = 1
INTERRUPTED = 130
EXTRAS = {"lightning_fabric": "train", "tensorboard": "train", "jsonschema": "evaluate"}
"""Packages that only some commands need → the extra of this package that installs them."""


class HelpFormatter(argparse.ArgumentDefaultsHelpFormatter):
    """Tells a default where there is one to tell that the text does not tell already."""

    def _get_help_string(self, action: argparse.Action) -> str | None:
        told = action.help or ""
        absent = action.default is None or action.default is False
        return told if absent or "(default" in told else super()._get_help_string(action)


def run_cli(
    add_arguments: Callable[[argparse.ArgumentParser], None],
    run: Callable[[argparse.Namespace], int],
    argv: Sequence[str] | None = None,
    prog: str | None = None,
    description: str | None = None,
) -> int:
    """Parse `argv` and run a command.

    Args:
        add_arguments: declares the command's arguments on the parser that it is given.
        run: does the work and returns the exit code.
        argv: arguments without the program's name; by default those of the process.
        prog: name of the command in its usage line.
        description: first paragraph of its help.

    Returns:
        The exit code: that of `run`, 1 after an error that is the user's to solve (one line on stderr), 130 after Ctrl-C.
    """
    gc.set_threshold(*USUAL_THRESHOLDS)
    make_streams_safe()
    parser = argparse.ArgumentParser(prog=prog, description=description, formatter_class=HelpFormatter)
    add_arguments(parser)
    arguments = parser.parse_args([_named(argument) for argument in (sys.argv[1:] if argv is None else argv)])
    logging.basicConfig(format="%(message)s", stream=sys.stderr)
    quiet = getattr(arguments, "quiet", False)
    logging.getLogger("crowd3d").setLevel(logging.WARNING if quiet else logging.INFO)
    try:
        with telling(_nobody if quiet else None):
            return run(arguments)
    except (Crowd3DError, ModuleNotFoundError, OSError) as error:
        return report(error)
    except KeyboardInterrupt:
        _print("interrupted; what was finished is kept, the same command continues")
        return INTERRUPTED


def _named(argument: str) -> str:
    """The same, or how the file of that name is called where it would be taken for an option."""
    dashed = argument.startswith("-") and ("." in argument or not argument.startswith("--"))
    return f".{os.sep}{argument}" if dashed and argument != "-h" and Path(argument).exists() else argument


def _nobody(done: float, text: str) -> None:
    """Is told how far the work is."""


def report(error: Crowd3DError | ModuleNotFoundError | OSError) -> int:
    """Say in one line what is the user's to solve, and return the exit code; raises what is a fault of the program."""
    match error:
        case Crowd3DError():
            _print(str(error))
        case ModuleNotFoundError(name=str(name)) if name.partition(".")[0] in EXTRAS:
            package = name.partition(".")[0]
            _print(f"{package.replace('_', '-')} is not installed; pip install 'crowd3d[{EXTRAS[package]}]'")
        case OSError():
            # A full disk or a missing permission can strike at any read or write, not only where a stage expects it.
            _print(": ".join(str(part) for part in (error.filename, error.strerror or error) if part))
        case _:
            raise error
    return FAILED


def _print(message: str) -> None:
    print("crowd3d: error:", " ".join(message.split()), file=sys.stderr)
