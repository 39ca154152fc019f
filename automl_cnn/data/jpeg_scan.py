"""Whether a JPEG's compressed data was overwritten: libjpeg goes on in silence and paints the rest grey or wrong."""

from __future__ import annotations

import re
from dataclasses import dataclass, field

_MARKER = re.compile(rb"\xff[^\x00\xff]")
_EOI, _SOS, _DHT, _DNL, _DRI, _SOI, _TEM = 0xD9, 0xDA, 0xC4, 0xDC, 0xDD, 0xD8, 0x01
_SEQUENTIAL, _PROGRESSIVE = (0xC0, 0xC1), 0xC2
_BETWEEN_SCANS = frozenset((_DHT, 0xDB, _DRI, 0xFE, *range(0xE0, 0xF0)))  # tables, comments, applications' own
_ZEROS = bytes(64)


def jpeg_damage(content: bytes) -> str | None:
    """Say what inside a JPEG cannot have come from an encoder.

    Args:
        content: a file that libjpeg has read without an error.
    Returns:
        A few words, or None where nothing was found: a few changed bits leave no trace, and that a file is cut short
        is told elsewhere.
    Source: ITU-T T.81, annex B.
    """
    header = _Header()
    position: int | None = 2
    while position is not None:  # one segment, or one scan with the data behind it, at a time
        marker = _MARKER.search(content, position)
        if marker is None:
            return None
        code, body = content[marker.start() + 1], marker.end()
        if code == _EOI:
            return None
        if code in (_SOI, _TEM):
            position = body
            continue
        end = body + max(2, int.from_bytes(content[body : body + 2], "big"))
        header.read(code, content[body + 2 : end])
        position = end
        if code == _SOS:
            position, damage = _walk_scan(content, end, header)
            if damage is not None:
                return damage
    return None


@dataclass
class _Header:
    """What the segments so far say about the scans that follow."""

    sequential: bool = False
    components: int = 0
    scanned: int = 0
    restarts: bool = False
    ends_block: dict[int, bool] = field(default_factory=dict)

    @property
    def zeros_are_flat(self) -> bool:
        """Whether flat areas may be zeros without end: in every table the code of zeros alone ends a block."""
        return all(self.ends_block.values())

    def read(self, code: int, segment: bytes) -> None:
        if code in (*_SEQUENTIAL, _PROGRESSIVE) and len(segment) > 5:
            self.sequential, self.components = code != _PROGRESSIVE, segment[5]
        elif code == _DRI:
            self.restarts = any(segment[:2])
        elif code == _SOS and segment:
            self.scanned = segment[0]
        elif code == _DHT:
            self._read_codes(segment)

    def _read_codes(self, segment: bytes) -> None:
        """Of each table for coefficients, whether its first symbol, whose code is zeros alone, ends a block."""
        position = 0
        while position + 17 < len(segment):
            if segment[position] >> 4 == 1:
                self.ends_block[segment[position]] = segment[position + 17] == 0
            position += 17 + sum(segment[position + 1 : position + 17])


def _walk_scan(content: bytes, start: int, header: _Header) -> tuple[int | None, str | None]:
    """Check one scan's data: where the next segment begins (None: the picture ends) and what is wrong with it."""
    alone = header.sequential and header.scanned == header.components
    restart = 0
    end = stop = None
    for marker in _MARKER.finditer(content, start):
        code = content[marker.start() + 1]
        if 0xD0 <= code <= 0xD7:
            if not header.restarts or code != 0xD0 + restart:
                return None, "a restart mark that does not belong in its data"
            restart = (restart + 1) % 8
        elif code == _EOI:
            stop = marker.start()
            break
        elif not alone and (code == _SOS or code in _BETWEEN_SCANS):
            stop = end = marker.start()
            break
        elif code != _DNL:
            return None, f"the mark FF{code:02X} in the middle of its data"
    # Zeros up to the end of the file are a download that broke off, and no damage.
    holes = stop is not None and header.sequential and not header.zeros_are_flat
    if holes and content.find(_ZEROS, start, stop) >= 0:
        return None, "a stretch of zeros in the middle of its data"
    return end, None
