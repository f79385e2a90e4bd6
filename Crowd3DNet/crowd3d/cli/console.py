"""Text for consoles and pipes that cannot show every character: Windows code pages, plain ASCII, names that are not UTF-8."""

from __future__ import annotations

import codecs
import io
import sys

_PLAIN = {"→": "->", "±": "+/-", "°": " deg", "×": "x", "…": "...", "–": "-", "—": "-", "≥": ">=", "≤": "<=", "≈": "~", "−": "-", "²": "2"}
_HANDLER = "crowd3d"


def make_streams_safe() -> None:
    """Let standard output and errors write any text in their own encoding: what it lacks is spelled in ASCII, and nothing is raised.

    Bytes of a file name that is not UTF-8 (lone surrogates in Python) come out as they are.
    """
    codecs.register_error(_HANDLER, _spelled)
    for stream in (sys.stdout, sys.stderr):
        # A notebook or a test may have put another object there, which takes any text, or None under pythonw.
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors=_HANDLER)


def _spelled(error: UnicodeError) -> tuple[bytes | str, int]:
    if not isinstance(error, UnicodeEncodeError):
        raise error
    character = error.object[error.start]
    if 0xDC80 <= ord(character) <= 0xDCFF:
        return bytes([ord(character) - 0xDC00]), error.start + 1
    return _PLAIN.get(character) or character.encode("ascii", "backslashreplace").decode("ascii"), error.start + 1
