"""Content encodings: undone piece by piece, so that a bomb never unfolds beyond the limit."""

from __future__ import annotations

import zlib

GZIP = zlib.MAX_WBITS | 16


class EncodingRefused(ValueError):
    """A body in an encoding that was not asked for, or that is damaged."""


class Inflater:
    """Undoes gzip or deflate."""

    def __init__(self, wbits: int) -> None:
        self._wbits = wbits
        self._stream = zlib.decompressobj(wbits)
        self._started = False

    def feed(self, chunk: bytes, room_bytes: int) -> bytes:
        """What a chunk unfolds to, no more than `room_bytes` of it.

        Raises `EncodingRefused` where the bytes are damaged.
        """
        out = bytearray()
        data = chunk
        while data and len(out) < room_bytes:
            try:
                out += self._stream.decompress(data, room_bytes - len(out))
            except zlib.error as error:
                if self._started or self._wbits != zlib.MAX_WBITS:
                    raise EncodingRefused(f"damaged: {error}") from error
                self._stream = zlib.decompressobj(-zlib.MAX_WBITS)  # deflate without a frame
                self._started = True
                continue
            self._started = True
            data = self._stream.unconsumed_tail
            if self._stream.eof:
                data = self._stream.unused_data
                if self._wbits != GZIP or not data.startswith(b"\x1f\x8b"):
                    break  # what follows the end is no part of the body
                self._stream = zlib.decompressobj(self._wbits)
        return bytes(out)

    def check_whole(self) -> None:
        """Raise `EncodingRefused` where the body ended too early."""
        if self._started and not self._stream.eof:
            raise EncodingRefused("the body ends too early")


def inflater(encoding: str) -> Inflater | None:
    """What undoes a Content-Encoding; None where nothing is to be undone.

    Raises `EncodingRefused` for encodings that were not asked for (brotli, zstd, several at once).
    """
    name = encoding.strip().lower()
    if name in ("", "identity", "none"):
        return None
    if name in ("gzip", "x-gzip"):
        return Inflater(GZIP)
    if name == "deflate":
        return Inflater(zlib.MAX_WBITS)
    raise EncodingRefused(f"the encoding {name[:40]!r} was not asked for")
