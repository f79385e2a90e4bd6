"""Errors that a user can act on. Each message says what is wrong, with which value, and what to do."""

from __future__ import annotations

MOST_CHARACTERS = 1000
"""Of a message."""


class Crowd3DError(Exception):
    """Base of every error that the command line reports as one line."""

    def __str__(self) -> str:
        """The message, without its middle where that is too long to be read: it may quote what is in a damaged file."""
        text = super().__str__()
        return text if len(text) <= MOST_CHARACTERS else f"{text[: MOST_CHARACTERS // 2]} … {text[-MOST_CHARACTERS // 2 :]}"


class MissingAsset(Crowd3DError):
    """A file that the user must provide (weights, SMPL, AlphaPose, a keypoint file) is absent or of the wrong kind."""


class BadImage(Crowd3DError):
    """An image cannot be read, is truncated, or has a size that cannot be processed."""


class NoPeopleFound(Crowd3DError):
    """No person was found where at least one is needed."""


class UnsolvableGround(Crowd3DError):
    """Camera and ground cannot be estimated from the given keypoints."""


class ImplausibleKeypoints(UnsolvableGround):
    """Given keypoints cannot belong to the picture, or to the camera that was given with them."""


class BackendFailed(Crowd3DError):
    """An external program or engine failed, timed out or produced unusable output."""


class BadOutput(Crowd3DError):
    """Results cannot be written: read-only folder, full disk, or a path of the wrong kind."""


class FolderInUse(BadOutput):
    """Another run works in the folder."""


class BadConfig(Crowd3DError):
    """A yml file, an argument or an option has an unknown key, a value of the wrong kind, or one that cannot be meant."""


class TrainingFailed(Crowd3DError):
    """Training cannot go on, such as after a loss that is no number; what was saved before is kept."""
