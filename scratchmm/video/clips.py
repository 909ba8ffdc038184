"""Clips in and out: from a folder of frames or a film to a tensor, which frames to take, and back.

A clip is pictures and the seconds at which they begin. What differs between kinds of files is
settled once, as a clip is read: how long frames last, what is see-through, how a GIF paints one
frame over the one before. Few networks look at every frame; sample_frames says at which.

Papers: Temporal Segment Networks (arXiv 1608.00859) take one frame of each equal part of a clip;
Quo Vadis, Action Recognition? (I3D, arXiv 1705.07750) and SlowFast Networks (arXiv 1812.03982) take
frames in a row. **Differs from the papers:** a clip that is too short for its row holds its last
frame, as SlowFast's published code does and the paper leaves open; I3D begins it again.

Dimensions: F frames, C channels (red, green, blue), H and W height and width. Pixels are float32 in
[-1, 1], times float64 in seconds.
"""

import os
import re
import shutil
import warnings
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image, ImageOps, UnidentifiedImageError
from torch import Generator, Tensor

from scratchmm.video.gif import gif_bytes, has_an_end, levels_of
from scratchmm.whole_file import write_whole

FORMATS = ("PNG", "JPEG", "GIF", "BMP", "WEBP", "TIFF", "PPM")  # none that starts other programs
FILMS = ("GIF", "WEBP", "PNG")  # of these more than the first picture is read
SUFFIXES = (".png", ".jpg", ".jpeg", ".gif", ".bmp", ".webp", ".tif", ".tiff", ".ppm", ".pgm")
MOST_PIXELS = 64_000_000  # of a frame
MOST_READ = 2_048_000_000  # of all frames of a film together: a minute of work
MOST_KEPT = 256_000_000  # of a clip as it is returned: 3 GB
NOT_SAID = 100.0  # milliseconds of a frame whose file says 0 or nothing, as in every browser


def read_clip(
    path: str | Path, *, size: int | tuple[int, int] | None = None, fps: float = 10.0
) -> tuple[Tensor, Tensor]:
    """Read a clip: (float32 (F, 3, H, W) in [-1, 1], the second at which each frame begins (F,)).

    path: an animated GIF, WebP or PNG; or a folder of frames, which follow one another at `fps` in
    natural order, frame2 before frame10. In a folder a file counts by its suffix: hidden files,
    folders and what is not named like a picture are passed over, but a .png that is none is
    refused. Of a film in a folder the first picture is taken; a single picture is a clip of one
    frame. A frame that lasts 0 ms lasts 100, as browsers show it. What is see-through lies on white.
    size: the shorter side, or exactly (height, width), by Pillow's bicubic filter.

    Raises FileNotFoundError, or ValueError with one sentence: no picture, truncated, frames of
    different sizes, more than 64 megapixels a frame, too many together.

    >>> import tempfile
    >>> film = write_gif(tempfile.mkdtemp() + "/a.gif", torch.ones(3, 3, 4, 6), seconds=0.5)
    >>> clip, times = read_clip(film)
    >>> clip.shape, clip.unique().tolist(), times.tolist()
    (torch.Size([3, 3, 4, 6]), [1.0], [0.0, 0.5, 1.0])
    """
    path = Path(path)
    if not (path.is_file() or path.is_dir()):
        raise FileNotFoundError(f"there is no clip at {path}")
    pictures: list[Tensor] = []
    lengths = [0.0]
    frames = _folder(path, 1000 * _seconds(fps)) if path.is_dir() else _film(path)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # what matters is raised, and said once
        for count, name, image, length in frames:
            image = _resize(name, image, size)
            _refuse_too_many(path, count * image.width * image.height, MOST_KEPT, " in all")
            pictures.append(torch.from_numpy(np.array(image)).permute(2, 0, 1))  # (C, H, W)
            lengths.append(length)
            if pictures[-1].shape != pictures[0].shape:
                raise ValueError(
                    f"{name} is {_sides(pictures[-1])} pixels and the first frame "
                    f"{_sides(pictures[0])}: size=(height, width) would make them one size"
                )
    times = torch.tensor(lengths[:-1], dtype=torch.float64).cumsum(0) / 1000  # (F,)
    return torch.stack(pictures).float().div_(127.5).sub_(1), times


def sample_frames(
    frames: int,
    count: int,
    how: str = "uniform",
    generator: Generator | None = None,
    stride: int = 1,
) -> Tensor:
    """Which `count` of a clip's frames to look at: int64 (count,), never falling.

    uniform: the clip is cut into `count` equal segments, and of each the middle is taken: the frame
    on screen at (i + 1/2) * frames / count. random: any moment of each segment instead of the
    middle, drawn anew at each call (for training). dense: every stride-th frame in a row that
    begins at random, or without a generator in the middle of the clip.

    A clip of fewer frames repeats them: the same moments fall on the same frames, and a row holds
    the last one. Raises ValueError for fewer than 1 frame, count or stride, or another `how`.

    >>> sample_frames(12, 4).tolist(), sample_frames(2, 4).tolist()
    ([1, 4, 7, 10], [0, 0, 1, 1])
    >>> sample_frames(12, 4, "dense").tolist(), sample_frames(3, 4, "dense", stride=2).tolist()
    ([4, 5, 6, 7], [0, 2, 2, 2])
    """
    if min(frames, count, stride) < 1:
        raise ValueError(
            f"{count} of {frames} frames at stride {stride} cannot be taken: each is at least 1"
        )
    if how == "dense":
        latest = max(frames - 1 - (count - 1) * stride, 0)  # beginning of the last whole row
        begin = torch.tensor(latest // 2)
        if generator is not None:
            begin = torch.randint(latest + 1, (), generator=generator)
        return (begin + stride * torch.arange(count)).clamp(max=frames - 1)  # (count,)
    if how not in ("uniform", "random"):
        raise ValueError(f"how {how!r} is none of uniform, dense, random")
    moments = torch.full((count,), 0.5, dtype=torch.float64)  # of each segment, from 0 to 1
    if how == "random":
        moments = torch.rand(count, generator=generator, dtype=torch.float64)
    segments = torch.arange(count)  # which begin at segment * frames / count
    return ((segments + moments) * frames / count).long().clamp(max=frames - 1)  # (count,)


def write_gif(
    path: str | Path,
    clip: Tensor,
    *,
    fps: float = 10.0,
    seconds: float | Sequence[float] | Tensor | None = None,
    scale: int = 1,
) -> Path:
    """Write a clip, float (F, 3 or 1, H, W) in [-1, 1], as a GIF that loops; returns its path.

    seconds: how long a frame is shown, one number or one a frame (F,), in place of `fps`. A GIF
    counts hundredths; they are rounded so that no frame begins more than half of one late. scale:
    each pixel becomes scale x scale of them. All frames share one palette, so that what stands
    still does not flicker: up to 256 colours exactly, more by median cut without dithering.

    The file is written whole or not at all. Raises ValueError with one sentence: not a clip, values
    that are no numbers, frames shorter than 0.02 s (browsers would slow them down).

    >>> import tempfile
    >>> write_gif(tempfile.mkdtemp() + "/still.gif", torch.zeros(1, 3, 4, 6), scale=2).name
    'still.gif'
    """
    path = Path(path)
    if path.suffix.lower() != ".gif":
        raise ValueError(f"{path} does not end in .gif")
    levels = levels_of(clip)
    if scale < 1:
        raise ValueError(f"pixels cannot be written {scale} x {scale} times")
    content = gif_bytes(levels, _seconds(fps) if seconds is None else seconds, scale)
    write_whole(path, content)
    return path


def write_frames(folder: str | Path, clip: Tensor) -> list[Path]:
    """Write a clip, float (F, 3 or 1, H, W) in [-1, 1], as frame0001.png ... in a new folder.

    The folder appears with all frames or not at all; one that holds something is refused, so that
    two clips never mix. Returns the paths in order.

    >>> import tempfile
    >>> [path.name for path in write_frames(tempfile.mkdtemp() + "/new", torch.zeros(2, 3, 4, 6))]
    ['frame0001.png', 'frame0002.png']
    """
    folder, levels = Path(folder), levels_of(clip)
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise FileExistsError(f"{folder} is there already and not an empty folder")
    temporary = folder.with_name(f".{folder.name}.part")
    names = [f"frame{number:04}.png" for number in range(1, len(levels) + 1)]
    try:
        shutil.rmtree(temporary, ignore_errors=True)  # what a stopped run may have left
        temporary.mkdir(parents=True)
        for name, picture in zip(names, levels, strict=True):
            Image.fromarray(picture).save(temporary / name)
        if folder.is_dir():
            folder.rmdir()
        os.replace(temporary, folder)
    except OSError as error:
        raise OSError(f"{folder} could not be written: {error.strerror or error}") from error
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    return [folder / name for name in names]


def _sides(picture: Tensor) -> str:
    return f"{picture.shape[1]} x {picture.shape[2]}"


def _seconds(fps: float) -> float:
    if not 0 < fps < float("inf"):
        raise ValueError(f"frames cannot follow one another at {fps} a second")
    return 1 / fps


# Frames, each as: how many there are, what to call it, the picture in RGB, its milliseconds.
Frames = Iterator[tuple[int, str, Image.Image, float]]


def _folder(folder: Path, length: float) -> Frames:
    named = [file for file in folder.iterdir() if not file.name.startswith(".")]
    files = [file for file in named if file.suffix.lower() in SUFFIXES and not file.is_dir()]
    if not files:
        raise ValueError(f"{folder} holds no picture ({len(named)} other files and folders)")
    for file in sorted(files, key=_natural):
        with _look(file) as image:
            yield len(files), str(file), _decode(str(file), image), length


def _film(path: Path) -> Frames:
    with _look(path) as image:
        kind = image.format
        if kind == "GIF" and not has_an_end(path.read_bytes()):
            raise ValueError(f"{path} is truncated: it ends in the midst of its frames")
        count = int(getattr(image, "n_frames", 1)) if kind in FILMS else 1
        _refuse_too_many(path, count * image.width * image.height, MOST_READ, " in all")
        hidden = int(count > 1 and bool(image.info.get("default_image")))  # shown by old viewers
        for index in range(hidden, count):
            name = f"frame {index + 1 - hidden} of {path}" if count > 1 else str(path)
            try:
                image.seek(index)
            except Exception as error:  # every format has its own ways to fail
                raise ValueError(f"{name} is damaged or truncated ({error})") from error
            picture = _decode(name, image)
            yield count - hidden, name, picture, image.info.get("duration") or NOT_SAID


def _natural(file: Path) -> tuple[list[Any], str]:
    """Numbers in a name count as numbers: words at even places, numbers at odd ones."""
    parts = re.split(r"(\d+)", file.name.lower())
    return [int(part) if place % 2 else part for place, part in enumerate(parts)], file.name


def _look(path: Path) -> Image.Image:
    """Read the head of a file and no pixels."""
    if not path.is_file():
        raise FileNotFoundError(f"there is no picture at {path}")
    try:
        return Image.open(path, formats=FORMATS)
    except UnidentifiedImageError as error:
        what = f"a file of {path.stat().st_size} bytes that reads as none of {', '.join(FORMATS)}"
        raise ValueError(f"{path} is not a picture but {what}") from error
    except Exception as error:  # every format has its own ways to fail
        raise ValueError(f"{path} cannot be read as a picture ({error})") from error


def _decode(name: str, image: Image.Image) -> Image.Image:
    """The picture as it is to be seen: upright, in RGB, on white."""
    _refuse_too_many(name, image.width * image.height, MOST_PIXELS)
    try:
        image.load()
        upright = ImageOps.exif_transpose(image)
        if upright.mode == "F":
            raise ValueError("its pixels are floating-point numbers without an agreed range")
        if upright.mode.startswith("I"):  # 16 bits of grey, which Pillow would clip at 255
            grey = np.asarray(upright).astype(np.int64).clip(0, 65535)
            upright = Image.fromarray((grey / 257).round().astype(np.uint8))
        if upright.has_transparency_data:
            white = Image.new("RGBA", upright.size, "white")
            upright = Image.alpha_composite(white, upright.convert("RGBA"))
        return upright.convert("RGB")
    except Exception as error:  # every format has its own ways to fail
        raise ValueError(f"{name} is damaged or truncated ({error})") from error


def _resize(name: str, image: Image.Image, size: int | tuple[int, int] | None) -> Image.Image:
    if size is None:
        return image
    if isinstance(size, int):
        short = min(image.size)
        width, height = (size * side // short for side in image.size)  # the longer rounds down
    else:
        height, width = size
    if min(height, width) < 1 or height * width > MOST_PIXELS:
        raise ValueError(f"{name} cannot be resized to {height} x {width} pixels")
    return image.resize((width, height), Image.Resampling.BICUBIC)


def _refuse_too_many(path: str | Path, pixels: int, most: int, where: str = "") -> None:
    if pixels > most:
        raise ValueError(
            f"{path} has {pixels / 1e6:.1f} megapixels{where}, more than the {most // 1_000_000} "
            "that are read"
        )
