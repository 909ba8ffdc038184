"""The format of an image file by its first bytes, never by its name, and what is refused.

The formats of FORMATS are read, none of which starts another program. Other common ones are
recognised by their first bytes, so that the error can name the format.
"""

from pathlib import Path

from scratchmm.file_kinds import foreign_kind
from scratchmm.sentences import shortened

FORMATS = ("PNG", "JPEG", "GIF", "BMP", "WEBP", "TIFF", "PPM")
MOST_PIXELS = 64_000_000  # of one image
SURE = ("PNG", "JPEG", "GIF", "WEBP", "TIFF")  # whose first bytes are no accident
STARTS = {  # where the bytes stand, the bytes: the name
    (0, b"\x89PNG\r\n\x1a\n"): "PNG",
    (0, b"\xff\xd8\xff"): "JPEG",
    (0, b"GIF87a"): "GIF",
    (0, b"GIF89a"): "GIF",
    (8, b"WEBP"): "WEBP",
    (0, b"FUJIFILMCCD-RAW"): "camera's raw",
    (0, b"II\x2a\0\x10\0\0\0CR"): "camera's raw",
    (0, b"IIU\0"): "camera's raw",
    (0, b"IIRO"): "camera's raw",
    (0, b"II*\0"): "TIFF",
    (0, b"MM\0*"): "TIFF",
    (0, b"II+\0"): "TIFF",
    (0, b"MM\0+"): "TIFF",
    (4, b"ftypavi"): "AVIF",
    (4, b"ftyphei"): "HEIC",
    (4, b"ftyphev"): "HEIC",
    (4, b"ftypmif1"): "HEIC or AVIF",
    (4, b"ftypmsf1"): "HEIC or AVIF",
    (4, b"ftypcrx"): "camera's raw",
    (4, b"jP  \r\n\x87\n"): "JPEG 2000",
    (0, b"\xff\x4f\xff\x51"): "JPEG 2000",
    (4, b"JXL \r\n\x87\n"): "JPEG XL",
    (0, b"\xff\x0a"): "JPEG XL",
    (0, b"8BPS"): "Photoshop (PSD)",
    (0, b"gimp xcf"): "GIMP (XCF)",
    (0, b"\0\0\1\0"): "ICO",
    (0, b"\0\0\2\0"): "CUR",
    (0, b"\x76\x2f\x31\x01"): "OpenEXR",
    (0, b"#?RADIANCE"): "Radiance HDR",
    (0, b"#?RGBE"): "Radiance HDR",
    (0, b"DDS "): "DDS",
    (0, b"qoif"): "QOI",
    (0, b"icns"): "ICNS",
    (0, b"SIMPLE  ="): "FITS",
    (0, b"\x8aMNG\r\n\x1a\n"): "MNG",
}
OTHERS = {  # what is no image and often stands in the place of one, beyond `foreign_kind`
    (
        0,
        b"version https://git-lfs",
    ): "a pointer of Git LFS, in place of the file: run `git lfs pull`",
    (0, b"%PDF"): "a PDF document",
    (0, b"%!PS"): "a PostScript page",
    (0, b"\xc5\xd0\xd3\xc6"): "a PostScript page",
    (4, b"ftyp"): "an MP4 or QuickTime film",
    (0, b"\x1a\x45\xdf\xa3"): "a Matroska or WebM film",
    (8, b"AVI "): "an AVI film",
    (0, b"PK\3\4"): "a ZIP archive",
}
SUFFIXES = (  # of images, read or not: a file so named is never passed over
    ".png .apng .jpg .jpeg .jpe .jfif .jif .gif .bmp .dib .webp .tif .tiff .ppm .pgm .pbm .pnm .pfm "
    ".avif .avifs .heic .heif .hif .jp2 .j2k .jpx .jpf .j2c .jxl .svg .svgz .psd .psb .xcf .eps .ico "
    ".cur .exr .hdr .dds .qoi .icns .fits .tga .pcx .xbm .xpm .sgi .mng .dng .cr2 .cr3 .nef .arw .raf "
    ".rw2 .orf .pam .jng .wbmp"
).split()


def kind_of(head: bytes) -> str:
    """The name of the image format that a file's first 64 bytes or more belong to, or "".

    >>> kind_of(b"GIF89a"), kind_of(b"8BPS"), kind_of(b"some text")
    ('GIF', 'Photoshop (PSD)', '')
    """
    found = [name for (at, start), name in STARTS.items() if head[at:].startswith(start)]
    if not found and b"<svg" in head.lower():
        return "SVG"
    return found[0] if found else ""


def head_of(path: Path) -> bytes:
    """The first 1000 bytes of a file; FileNotFoundError where there is none.

    >>> head_of(Path("no such file.png"))
    Traceback (most recent call last):
    FileNotFoundError: no image at no such file.png
    """
    if not path.is_file():
        raise FileNotFoundError(f"{path} is a folder" if path.is_dir() else f"no image at {path}")
    with path.open("rb") as file:
        return file.read(1000)


def refusal(path: Path, head: bytes, reason: str = "") -> str:
    """The error message for a file that is not read, with its format if its first bytes show it.

    >>> refusal(Path("a.png"), b"8BPS")
    'a.png is a Photoshop (PSD) image, which is not read: PNG, JPEG, GIF, BMP, WEBP, TIFF, PPM are'
    """
    kind, read = kind_of(head), ", ".join(FORMATS)
    if kind in SURE:
        return (
            f"{path} is damaged or truncated, or a {kind} of an uncommon kind ({shortened(reason)})"
        )
    if kind:
        article = "an" if kind[0] in "AIO" else "a"
        return f"{path} is {article} {kind} image, which is not read: {read} are"
    size = f"a file of {path.stat().st_size} bytes"
    for (at, start), name in OTHERS.items():
        if head[at:].startswith(start):
            return f"{path} is not an image but {size}: {name}"
    if foreign := foreign_kind(path):
        return f"{path} is not an image but {size}: {foreign}"
    return f"{path} is not an image but {size} that is none of {read}"


def refuse_too_many(
    name: str | Path, pixels: int, most: int = MOST_PIXELS, where: str = ""
) -> None:
    """Refuse more pixels than are read, in a sentence with both numbers.

    >>> refuse_too_many("a.png", 65_000_000)
    Traceback (most recent call last):
    ValueError: a.png has 65.0 megapixels, more than the 64 that are read
    """
    if pixels > most:
        raise ValueError(
            f"{name} has {pixels / 1e6:.1f} megapixels{where}, more than the {most // 1_000_000} "
            "that are read"
        )
