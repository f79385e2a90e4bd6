"""Ways to damage a file: each takes its bytes and gives other ones."""

from __future__ import annotations

import random


def truncated(data: bytearray, rng: random.Random) -> bytes:
    return bytes(data[: rng.randrange(len(data) + 1)])


def flipped(data: bytearray, rng: random.Random) -> bytes:
    for _ in range(rng.choice((1, 3, 30))):
        data[rng.randrange(len(data))] ^= 1 << rng.randrange(8)
    return bytes(data)


def huge_header(data: bytearray, rng: random.Random) -> bytes:
    at = rng.randrange(min(len(data), 400))
    data[at : at + 4] = rng.choice((b"\xff\xff\xff\x7f", b"\xff\xff\xff\xff", b"\x7f\xff\xff\xff", b"9999"))
    return bytes(data)


def holed(data: bytearray, rng: random.Random) -> bytes:
    at, size = rng.randrange(len(data)), rng.choice((4, 64, 4096))
    data[at : at + size] = rng.choice((bytes(size), rng.randbytes(size), b""))
    return bytes(data)


def no_number(data: bytearray, rng: random.Random) -> bytes:
    """One number of a text, or eight bytes of anything else, become none."""
    for old in rng.sample((b"0.", b"1", b"4", b"["), 4):
        if old in data[:100_000]:
            return bytes(data.replace(old, rng.choice((b"NaN", b"1e999", b"-Infinity", b"null", b'"x"', b"{}", b"[]")), rng.randint(1, 3)))
    at = rng.randrange(max(1, len(data) - 8))
    data[at : at + 8] = rng.choice((b"\0\0\0\0\0\0\xf8\x7f", b"\0\0\0\0\0\0\xf0\xff"))
    return bytes(data)


def nested(data: bytearray, rng: random.Random) -> bytes:
    depth = rng.choice((50, 5000, 200_000))
    opening, closing = rng.choice(((b"[", b"]"), (b'{"a":', b"}")))
    return opening * depth + (b"1" if rng.random() < 0.5 else bytes(data[:100])) + closing * rng.choice((0, depth))


DAMAGES = (truncated, flipped, flipped, huge_header, holed, no_number, nested)
