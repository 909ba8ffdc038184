"""The container format of a sound file by its first bytes, and whether the file is complete.

libsndfile reads a truncated file as far as it goes, and only the first of concatenated files, without
an error. So the containers are parsed here, without decoding: chunks with a name and a size (WAV and
its relatives, AIFF), and pages with a number and a check sum (OGG).

Sources: RIFF (IBM and Microsoft, 1991), RF64 and BW64 (EBU Tech 3306, ITU-R BS.2088), W64 (Sony),
AIFF-C (Apple, 1991), RFC 3533 (OGG), ID3v2.4. Differs from them: nothing.
"""

import struct
import zlib
from collections.abc import Iterator
from pathlib import Path

from scratchmm.file_kinds import foreign_kind

UNKNOWN = 0x7FFF_F000  # a WAV that was streamed promises this many bytes or more
READ = {  # by the first 4 bytes
    b"RIFF": "WAV",
    b"RIFX": "WAV",
    b"RF64": "WAV",
    b"BW64": "WAV",
    b"riff": "W64",
    b"FORM": "AIFF",
    b"fLaC": "FLAC",
    b"OggS": "OGG",
}
FORMS = {"WAV": (b"WAVE",), "AIFF": (b"AIFF", b"AIFC")}  # what stands at byte 8
NAMED = {  # where the bytes stand, the bytes: what it is
    (4, b"ftyp"): "an MP4, M4A or QuickTime file",
    (0, b"\x30\x26\xb2\x75\x8e\x66\xcf\x11"): "a WMA file",
    (0, b"\x1a\x45\xdf\xa3"): "a Matroska or WebM file",
    (0, b"caff"): "a CAF file",
    (0, b".snd"): "an AU file",
    (0, b"Creative Voice File"): "a VOC file",
    (0, b"#!AMR"): "an AMR file",
    (0, b"wvpk"): "a WavPack file",
    (0, b"MAC "): "a Monkey's Audio file",
    (0, b"TTA1"): "a True Audio file",
    (0, b"MPCK"): "a Musepack file",
    (0, b"MP+"): "a Musepack file",
    (0, b"DSD "): "a DSF file",
    (0, b"FRM8"): "a DSDIFF file",
    (0, b"MThd"): "a MIDI file, which holds notes and no sound",
    (0, b".RMF"): "a RealMedia file",
    (0, b"\x0b\x77"): "an AC-3 file",
    (0, b"8SVX"): "an 8SVX file",
}
HEAD = 64  # bytes of a chunk that are looked at
W64_DATA = b"data\xf3\xac\xd3\x11\x8c\xd1\x00\xc0\x4f\x8e\xdb\x8a"
REVERSED = bytes(int(f"{byte:08b}"[::-1], 2) for byte in range(256))


def kind_of(path: Path, data: bytes) -> str:
    """WAV, W64, AIFF, FLAC or OGG; raises ValueError that names another format.

    >>> kind_of(Path("a.wav"), b"fLaC")
    'FLAC'
    >>> kind_of(Path("a.wav"), b"caff")
    Traceback (most recent call last):
    ValueError: a.wav is a CAF file, which is not read: WAV, W64, AIFF, FLAC and OGG files are
    """
    kind, form = READ.get(data[:4], ""), data[8:12]
    if kind and form in FORMS.get(kind, (form,)):
        return kind
    found = [name for (at, start), name in NAMED.items() if data[at:].startswith(start)]
    if not found and len(data) > 1 and data[0] == 0xFF and data[1] & 0xE0 == 0xE0:
        layer = data[1] >> 1 & 3  # of MPEG audio; AAC has none
        found = [["an AAC file", "an MP3 file", "an MP2 file", "an MP1 file"][layer]]
    if kind and len(data) < 12:
        raise ValueError(f"{path} is truncated: it is {len(data)} bytes of a {kind}")
    if kind and not found:
        found = [f"a {data[:4].decode()} file of the form {form!r} and no sound"]
    if found:
        raise ValueError(
            f"{path} is {found[0]}, which is not read: WAV, W64, AIFF, FLAC and OGG files are"
        )
    begins = f"it begins with {data[:4].hex(' ')}" if data else "it is empty"
    if foreign := foreign_kind(path):
        begins = f"it is {foreign}"
    raise ValueError(f"{path} is not a WAV, W64, AIFF, FLAC or OGG file: {begins}")


def without_tags(data: bytes) -> bytes:
    """The file without the ID3 tags that some programs put before and behind a sound.

    >>> without_tags(b"ID3\\3\\0\\0\\0\\0\\0\\2ab" + b"fLaC")
    b'fLaC'
    """
    while data[:3] == b"ID3" and len(data) > 10:
        size = sum((byte & 127) << 7 * (3 - place) for place, byte in enumerate(data[6:10]))
        behind = 10 + size + 10 * (data[5] >> 4 & 1)  # a copy of the head stands at its end
        data = data[behind:].lstrip(b"\0")
    behind = data[-128:-125] == b"TAG" and data[:4] in (b"fLaC", b"OggS", b"riff")
    return data[:-128] if behind else data


def check_chunks(path: Path, data: bytes, kind: str) -> None:
    """Refuse a WAV, W64 or AIFF with less sound than it promises, with two, or with none.

    Also a WAV whose header contradicts itself: it would be decoded to noise.
    """
    found, there, size = 0, 0, 0
    promised = 0  # bytes, by the head of an AIFF
    for name, start, length in _chunks(data, kind):
        if name[:4] in READ:
            raise ValueError(f"{path} holds a second file behind the first, and one is read")
        content = data[start : start + min(length, HEAD)]
        if name == b"fmt " and kind == "WAV":
            _check_blocks(path, content, data[:4] == b"RIFX")
        if name == b"COMM":
            promised = _promised(content)
        if name in (b"data", b"SSND", W64_DATA):
            found, there, size = found + 1, len(data) - start, length
            if name == b"SSND":
                promised += 8 + int.from_bytes(content[:4]) if promised else 0
    streamed = kind == "WAV" and size >= UNKNOWN and data[:4] not in (b"RF64", b"BW64")
    if found > 1:
        raise ValueError(f"{path} holds 2 chunks of sound, and one is read")
    if found and not streamed and there < size:
        raise ValueError(f"{path} is truncated: {there} of {size} bytes of sound are there")
    if not found:
        raise ValueError(f"{path} is damaged or truncated: it holds no chunk of sound")
    if size < promised:
        raise ValueError(f"{path} is truncated: {size} of {promised} bytes of sound are there")


def _check_blocks(path: Path, content: bytes, turned: bool) -> None:
    """A block holds a sample of all channels, each in the fewest bytes that hold its bits."""
    if len(content) < 16:
        return  # the decoder reports what is wrong
    tag, channels, _, _, block, bits = struct.unpack(f"{'<>'[turned]}HHIIHH", content[:16])
    usual = channels * -(-bits // 8)
    if tag in (1, 3, 0xFFFE) and block not in (0, usual):
        raise ValueError(
            f"{path} has blocks of {block} bytes for {channels} channels of {bits} bits, which fill "
            f"{usual}: where its samples lie can't be known"
        )


def _promised(content: bytes) -> int:
    """How many bytes of samples the header of an AIFF declares; 0 where they are compressed."""
    if len(content) < 18 or content[18:22] not in (b"", b"NONE", b"twos", b"sowt"):
        return 0
    channels, samples, bits = struct.unpack(">HIH", content[:8])
    return channels * samples * -(-bits // 8)


def _chunks(data: bytes, kind: str) -> Iterator[tuple[bytes, int, int]]:
    """Of each chunk its name, where its content begins, and how many bytes it declares."""
    if kind == "W64":
        place = 40
        while place + 24 <= len(data):
            name, size = struct.unpack_from("<16sQ", data, place)
            yield name, place + 24, size - 24
            place += max(24, size + -size % 8)
        return
    order = ">" if data[:4] in (b"RIFX", b"FORM") else "<"
    place, large = 12, 0
    while place + 8 <= len(data):
        name, size = struct.unpack_from(f"{order}4sI", data, place)
        place += 8
        if name == b"ds64" and size >= 16:
            large = struct.unpack_from("<Q", data.ljust(place + 16, b"\0"), place + 8)[0]
        if name == b"data" and size == 0xFFFF_FFFF and large:
            size = large
        yield name, place, size
        place += size + size % 2


def links_of(path: Path, data: bytes) -> list[bytes]:
    """The streams of an OGG that follow one another (RFC 3533: chained), each a file of its own.

    Raises ValueError with a sentence: cut off, a page that is damaged or missing, multiplexed
    streams, of which only one would be decoded.

    >>> links_of(Path("a.ogg"), b"OggS")
    Traceback (most recent call last):
    ValueError: a.ogg is truncated: its last page is not the end of an OGG file
    """
    place, starts = 0, [0]
    streams: dict[int, bool] = {}  # by serial, whether one goes on
    last: dict[int, int] = {}  # page of each
    while data[place : place + 4] == b"OggS":
        # "OggS", version, flags (2: the first page, 4: the last), 8 bytes of time, serial and
        # page number, check sum, how many segments, the length of each, all of them.
        count = data[place + 26] if place + 26 < len(data) else 0
        lengths = data[place + 27 : place + 27 + count]
        end = place + 27 + count + sum(lengths)
        if len(lengths) < count or end > len(data) or place + 27 > len(data):
            raise ValueError(f"{path} is truncated: its last page is not the end of an OGG file")
        flags, serial, number, check = struct.unpack_from("<5xB8xIII", data, place)
        page = data[place : place + 22] + bytes(4) + data[place + 26 : end]
        if page_check(page) != check:
            raise ValueError(f"{path} is damaged: the check sum of its page {number} is wrong")
        if flags & 2 and streams and not any(streams.values()):
            starts, streams = [*starts, place], {}  # the next link
        if flags & 2:
            streams[serial] = True
        elif number != last.get(serial, -1) + 1:
            raise ValueError(f"{path} is damaged: of its pages number {number - 1} is missing")
        last[serial] = number
        if len(streams) > 1:
            raise ValueError(f"{path} holds {len(streams)} streams side by side, and one is read")
        if flags & 4:
            streams[serial] = False
        place = end
    if b"OggS" in data[place:]:
        raise ValueError(f"{path} is damaged: at byte {place} an OGG page should begin")
    if any(streams.values()):
        raise ValueError(f"{path} is truncated: its last page is not the end of an OGG file")
    return [data[a:b] for a, b in zip(starts, [*starts[1:], place], strict=True)]


def page_check(page: bytes) -> int:
    """The check sum (CRC-32) of an OGG page, its own 4 bytes being 0: zlib's, with all bits reversed.

    >>> page_check(b"\\1\\0\\0\\0")
    3698170551
    """
    found = zlib.crc32(page.translate(REVERSED), 0xFFFF_FFFF) ^ 0xFFFF_FFFF
    return int(f"{found:032b}"[::-1], 2)
