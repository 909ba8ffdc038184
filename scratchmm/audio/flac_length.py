"""The length of a FLAC file whose header lacks it, as a streaming recorder leaves it.

libsndfile does not read such a file. But each frame's header holds its position and length, so the
last frame gives the total, which is then written into the file's header. The check sum of that
frame shows that it is complete, and so that the file was not cut off.

Source: RFC 9639 (Free Lossless Audio Codec), sections 8.2 and 9.1. Differs from it: nothing.
"""

from pathlib import Path

PLACE = 18  # of the 8 bytes that end in 36 bits of length: 4 + 4 + 10 bytes lie before
LENGTH = (1 << 36) - 1
LONGEST_HEAD = 16  # bytes of a frame's head without its check sum, at most 15
SIGNS = (b"fLaC\x00\x00\x00\x22", b"fLaC\x80\x00\x00\x22")  # how a FLAC begins


def with_length(path: Path, data: bytes) -> bytes:
    """A FLAC with its length in the header; one that has it already is returned unchanged.

    Raises ValueError with a sentence: cut off, or a second FLAC behind the first.

    >>> with_length(Path("a.flac"), SIGNS[0] + bytes(34))
    Traceback (most recent call last):
    ValueError: a.flac is damaged or truncated: its last frame is not all there
    """
    if any(data.find(sign, 4) > 0 for sign in SIGNS):
        raise ValueError(f"{path} holds a second FLAC behind the first, and one is read")
    if not data.startswith(SIGNS) or len(data) < PLACE + 8:
        return data  # the decoder reports what is wrong
    fields = int.from_bytes(data[PLACE : PLACE + 8])
    if fields & LENGTH:
        return data
    length = _length(data)
    if not length:
        raise ValueError(f"{path} is damaged or truncated: its last frame is not all there")
    return data[:PLACE] + (fields | length).to_bytes(8) + data[PLACE + 8 :]


def _length(data: bytes) -> int:
    """Where the last frame ends, in samples; 0 if there is no whole one at the end."""
    place = len(data)
    usual = int.from_bytes(data[8:10])  # samples of a frame where all are of one length
    while (place := data.rfind(b"\xff", 0, place)) > 0:
        if data[place + 1 : place + 2] not in (b"\xf8", b"\xf9"):
            continue
        found = _frame_end(data[place : place + LONGEST_HEAD], usual)
        if found and check_16(data[place:-2]) == int.from_bytes(data[-2:]):
            return found
    return 0


def _frame_end(head: bytes, usual: int) -> int:
    """Where a frame ends, in samples, by its header; 0 if these bytes are no frame header."""
    head = head.ljust(LONGEST_HEAD, b"\0")
    code, rate = head[2] >> 4, head[2] & 15
    ones = f"{head[4]:08b}".index("0") if head[4] < 255 else 8  # as UTF-8, of up to 36 bits
    size = max(1, ones)
    if not code or rate == 15 or ones in (1, 8):
        return 0
    number = head[4] & (0x7F >> ones)
    for byte in head[5 : 4 + size]:
        number = number << 6 | byte & 63
    place = 4 + size
    if code in (6, 7):
        samples = int.from_bytes(head[place : place + code - 5]) + 1
        place += code - 5
    else:
        samples = 192 if code == 1 else 576 << code - 2 if code < 6 else 256 << code - 8
    place += {12: 1, 13: 2, 14: 2}.get(rate, 0)
    if check_8(head[:place]) != head[place]:
        return 0
    return (number if head[1] & 1 else number * usual) + samples


def check_8(data: bytes) -> int:
    """The check sum (CRC-8) of a frame's header: x^8 + x^2 + x + 1.

    >>> check_8(b"\\1")
    7
    """
    found = 0
    for byte in data:
        found ^= byte
        for _ in range(8):
            found = (found << 1 ^ 0x07 if found & 0x80 else found << 1) & 0xFF
    return found


def check_16(data: bytes) -> int:
    """The check sum (CRC-16) of a frame: x^16 + x^15 + x^2 + 1.

    >>> check_16(b"\\1")
    32773
    """
    found = 0
    for byte in data:
        found = (found << 8 & 0xFFFF) ^ TABLE[found >> 8 ^ byte]
    return found


def _step(byte: int) -> int:
    found = byte << 8
    for _ in range(8):
        found = (found << 1 ^ 0x8005 if found & 0x8000 else found << 1) & 0xFFFF
    return found


TABLE = [_step(byte) for byte in range(256)]
