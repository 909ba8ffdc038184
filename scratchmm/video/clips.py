"""Clips: read from a folder of frames or an animated image, sampled, and written.

A clip is images and the seconds at which they begin. What differs between file formats is handled
once, as a clip is read: how long frames last, transparency, how a GIF composes a frame over the one
before. Few networks take every frame of a clip; sample_frames selects them.

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
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Generator, Tensor

from scratchmm.files import atomic_write
from scratchmm.image_formats.kinds import MOST_PIXELS, SUFFIXES, head_of, kind_of, refuse_too_many
from scratchmm.image_formats.pixels import on_background
from scratchmm.image_formats.reader import Shown, first_image, frames_of
from scratchmm.sentences import check_count
from scratchmm.video.gif import gif_bytes, levels_of

MOST_READ = 512_000_000  # pixels of all frames of a film together: seconds of work
MOST_FRAMES = 2**24  # that frames are taken of: days of film
MOST_KEPT = 64_000_000  # pixels of a clip as it is returned: 0.8 GB


def read_clip(
    path: str | Path, *, size: int | tuple[int, int] | None = None, fps: float = 10.0
) -> tuple[Tensor, Tensor]:
    """Read a clip: (float32 (F, 3, H, W) in [-1, 1], the second at which each frame begins (F,)).

    path: an animated GIF, WebP or PNG; a TIFF, whose pages are frames; or a folder of frames. Pages
    and files follow one another at `fps`, files in natural order, frame2 before frame10. In a
    folder a file counts by its suffix, or by its first bytes: hidden files, folders and what is
    neither named like an image nor one are passed over, but a .png that is none is refused, and so
    is frame3.part beside frame1.png. Of a film in a folder the first image is taken; a single image
    is a clip of one frame. A frame that lasts less than 11 ms lasts 100, as browsers show it.
    Transparent pixels become white. size: the shorter side, or exactly (height, width), by Pillow's
    bicubic filter.

    Raises FileNotFoundError, or ValueError with one sentence: no image, truncated, frames of
    different sizes, too many pixels (MOST_PIXELS a frame, MOST_READ in a film, MOST_KEPT in what is
    returned), which are counted before they are decoded.

    >>> import tempfile
    >>> film = write_gif(tempfile.mkdtemp() + "/a.gif", torch.ones(3, 3, 4, 6), seconds=0.5)
    >>> clip, times = read_clip(film)
    >>> clip.shape, clip.unique().tolist(), times.tolist()
    (torch.Size([3, 3, 4, 6]), [1.0], [0.0, 0.5, 1.0])
    """
    path = Path(path)
    if not (path.is_file() or path.is_dir()):
        raise FileNotFoundError(f"there is no clip at {path}")
    still = 1000 * _seconds(fps)

    def check(total: int, shown: tuple[int, int]) -> None:
        refuse_too_many(path, total * shown[0] * shown[1], MOST_READ, " in all")
        width, height = _sides(str(path), shown, size)
        refuse_too_many(path, total * width * height, MOST_KEPT, " in all")

    lengths, clip = [0.0], torch.empty(0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # what matters is raised, and said once
        frames = _folder(path, check) if path.is_dir() else frames_of(path, check)
        for number, (total, name, image, milliseconds) in enumerate(frames):
            width, height = _sides(name, image.size, size)
            if not number:
                clip = torch.empty(total, 3, height, width)  # (F, C, H, W)
            if (height, width) != clip.shape[2:]:
                first = f"{clip.shape[2]} x {clip.shape[3]}"
                raise ValueError(
                    f"{name} is {height} x {width} pixels and the first frame {first}: "
                    "size=(height, width) would make them one size"
                )
            image = on_background(image)
            if size is not None:
                image = image.resize((width, height), Image.Resampling.BICUBIC)
            clip[number] = torch.from_numpy(np.array(image)).permute(2, 0, 1)  # (C, H, W)
            lengths.append(still if milliseconds is None else milliseconds)
    times = torch.tensor(lengths[:-1], dtype=torch.float64).cumsum(0) / 1000  # (F,)
    return clip.div_(127.5).sub_(1), times


def sample_frames(
    frames: int,
    count: int,
    how: str = "uniform",
    generator: Generator | None = None,
    stride: int = 1,
) -> Tensor:
    """The indices of `count` frames of a clip: int64 (count,), never falling.

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
    for name, value in (("frames", frames), ("count", count), ("stride", stride)):
        check_count(name, value, most=MOST_FRAMES)
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
    each pixel becomes scale x scale of them. All frames share one palette, so that static parts do
    not flicker: up to 256 colours exactly, more by median cut without dithering.

    The file is written atomically. Raises ValueError with one sentence: not a clip, values
    that are no numbers, frames shorter than 0.02 s (browsers would slow them down).

    >>> import tempfile
    >>> write_gif(tempfile.mkdtemp() + "/still.gif", torch.zeros(1, 3, 4, 6), scale=2).name
    'still.gif'
    """
    path = Path(path)
    if path.suffix.lower() != ".gif":
        raise ValueError(f"{path} does not end in .gif")
    levels = levels_of(clip)
    if not isinstance(scale, int) or scale < 1:
        raise ValueError(f"pixels cannot be written {scale} x {scale} times")
    content = gif_bytes(levels, _seconds(fps) if seconds is None else seconds, scale)
    atomic_write(path, content)
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
        for name, image in zip(names, levels, strict=True):
            Image.fromarray(image).save(temporary / name)
        if folder.is_dir():
            folder.rmdir()
        os.replace(temporary, folder)
    except OSError as error:
        raise OSError(f"{folder} could not be written: {error.strerror or error}") from error
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    return [folder / name for name in names]


def _seconds(fps: float) -> float:
    if not 0 < fps < float("inf"):
        raise ValueError(f"frames cannot follow one another at {fps} a second")
    return 1 / fps


def _folder(folder: Path, check: Callable[[int, tuple[int, int]], None]) -> Iterator[Shown]:
    named = [file for file in folder.iterdir() if not file.name.startswith(".")]
    files = [file for file in named if _is_frame(file)]
    if not files:
        raise ValueError(f"{folder} holds no image ({len(named)} other files and folders)")
    _refuse_left_out(files, [file for file in named if file not in files])
    for file in sorted(files, key=_natural):
        image = first_image(file)
        check(len(files), image.size)
        yield Shown(len(files), str(file), image, None)


def _is_frame(file: Path) -> bool:
    """By its suffix, or else by what it holds."""
    if file.is_dir():
        return False
    return file.suffix.lower() in SUFFIXES or (file.is_file() and bool(kind_of(head_of(file))))


def _refuse_left_out(frames: list[Path], others: list[Path]) -> None:
    """A file with the name of a frame and a number of its own (frame3.tmp) is a frame that is lost."""
    stems = {file.stem for file in frames}
    patterns = {re.sub(r"\d+", "0", stem) for stem in stems}
    for file in others:
        numbered = re.sub(r"\d+", "0", file.stem)
        if numbered in patterns and numbered != file.stem and file.stem not in stems:
            raise ValueError(f"{file} is named like a frame of the clip and is no image")


def _natural(file: Path) -> tuple[list[Any], str]:
    """Numbers in a name count as numbers: words at even places, numbers at odd ones."""
    parts = re.split(r"(\d+)", file.name.lower())
    return [int(part) if place % 2 else part for place, part in enumerate(parts)], file.name


def _sides(
    name: str, shown: tuple[int, int], size: int | tuple[int, int] | None
) -> tuple[int, int]:
    """(width, height) of a frame as it is returned."""
    if isinstance(size, int):
        short = min(shown)
        width, height = (size * side // short for side in shown)  # the longer rounds down
    else:
        height, width = size or shown[::-1]
    if min(height, width) < 1 or height * width > MOST_PIXELS:
        raise ValueError(f"{name} cannot be resized to {height} x {width} pixels")
    return width, height
