"""Image files: where they may be written, in which format, and one image written."""

import os
import time
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Any

from PIL import Image

from scratchmm.apps.image_studio.jobs import Job
from scratchmm.files import atomic_write
from scratchmm.image_formats.kinds import MOST_PIXELS
from scratchmm.vision.images import to_image

if TYPE_CHECKING:
    from scratchmm.apps.image_studio.batch import Draw, Score

FORMATS = {".png": "PNG", ".jpg": "JPEG", ".jpeg": "JPEG", ".webp": "WEBP", ".bmp": "BMP"}
FORMATS |= {".gif": "GIF", ".tif": "TIFF", ".tiff": "TIFF", ".ppm": "PPM"}


def check_out(path: Path | None, single: bool, count: int) -> Path:
    """The file of a single image, or the folder of `count`; out.png and images if path is None.

    Raises ValueError if it can't be written, as far as that shows without writing.

    >>> str(check_out(None, True, 1))
    'out.png'
    """
    out = path or Path("out.png" if single else "images")
    if single and out.is_dir():
        raise ValueError(f"{out} is a folder: name the image, such as {out / 'out.png'}")
    if single and out.suffix.lower() not in FORMATS:
        raise ValueError(f"{out} does not end in {', '.join(FORMATS)}: which kind is it to be?")
    if not single and (out.is_file() or out.suffix.lower() in FORMATS):
        raise ValueError(f"{count} images need a folder, and {out} is one image")
    above = out.absolute()
    above = above.parent if single else above
    while not above.exists():
        above = above.parent
    if not above.is_dir() or not os.access(above, os.W_OK):
        raise ValueError(f"{out} cannot be written: {above} is no folder that can be written to")
    return out


def image_bytes(image: Image.Image, zoom: int = 1, format: str = "PNG") -> bytes:
    """The content of an image file, each pixel enlarged to zoom x zoom.

    Raises ValueError if that makes more pixels than the library reads.

    >>> Image.open(BytesIO(image_bytes(Image.new("RGB", (4, 3)), zoom=2))).size
    (8, 6)
    """
    size = (image.width * zoom, image.height * zoom)
    if size[0] * size[1] > MOST_PIXELS:
        most = f"more than the {MOST_PIXELS:,} that are read again"
        raise ValueError(f"zoom {zoom} makes {size[0] * size[1]:,} pixels, {most}")
    file = BytesIO()
    image.resize(size, Image.Resampling.NEAREST).save(file, format=format)
    return file.getvalue()


def write_image(job: Job, draw: "Draw", out: Path, score: "Score", zoom: int = 1) -> dict[str, Any]:
    """Draw one image into one file, written atomically; returns its entry, as of a manifest."""
    start = time.perf_counter()
    image = draw(
        [job.prompt], seeds=[job.seed], steps=job.steps, scale=job.scale, negative=job.negative
    )[0]
    seconds = round(time.perf_counter() - start, 2)
    content = image_bytes(to_image(image), zoom, FORMATS[out.suffix.lower()])
    out.parent.mkdir(parents=True, exist_ok=True)
    atomic_write(out, content)
    scores = {name: round(value, 4) for name, value in score(image, job.prompt).items()}
    return {"file": str(out), **vars(job), "scores": scores, "seconds": seconds}
