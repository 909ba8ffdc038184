"""Duplicate images and texts: all texts of an image are positives.

In COCO and Flickr30k an image has five captions. To count four of them as negatives, in a loss or
in a recall, would demand the impossible; so would a gallery that holds one image five times.

B pairs, P different images, T different texts.
"""

import unicodedata
from collections.abc import Callable, Sequence
from typing import NamedTuple

import torch
from torch import Tensor


class Gallery(NamedTuple):
    """A retrieval gallery without duplicates, and which pairs of it are positives."""

    rows: Tensor  # int64 (P,), the first index of each different image
    columns: Tensor  # int64 (T,), the first index of each different text
    relevant: Tensor  # bool (P, T): whether any pair has this image and this text


def same_images(images: Tensor) -> Tensor:
    """A label for each image of (B, C, H, W), equal where all pixels are equal: int64 (B,).

    >>> same_images(torch.tensor([1.0, 2.0, 1.0]).view(3, 1, 1, 1)).tolist()
    [0, 1, 0]
    """
    numbers: dict[bytes, int] = {}
    rows = images.contiguous().numpy()
    return torch.tensor([numbers.setdefault(row.tobytes(), len(numbers)) for row in rows])


def plain(text: str) -> str:
    """A text normalised in case, spaces and the encoding of accents (NFC).

    Texts that are equal in this form are equal to a tokenizer, too.

    >>> plain(" A  Caf\u00e9\u00a0") == plain("a cafe\u0301"), plain(" A  cat")
    (True, 'a cat')
    """
    return " ".join(unicodedata.normalize("NFC", text).lower().split())


def same_texts(texts: Sequence[str]) -> Tensor:
    """A label for each text, equal where `plain` is equal: int64 (B,).

    >>> same_texts(["A cat", "a dog", "a  cat"]).tolist()
    [0, 1, 0]
    """
    numbers: dict[str, int] = {}
    keys = [plain(text) for text in texts]
    return torch.tensor([numbers.setdefault(key, len(numbers)) for key in keys], dtype=torch.int64)


def right_answers(images: Tensor, texts: Sequence[str]) -> Callable[[Tensor], Tensor]:
    """A function from rows of these pairs, (b,), to bool (b, b): whether text j is right for image i.

    A text is right for an image if any of the B pairs joins the two.

    >>> images = torch.tensor([0.0, 0.0, 1.0]).view(3, 1, 1, 1)
    >>> right = right_answers(images, ["a cat", "an animal", "a dog"])
    >>> right(torch.tensor([0, 1, 2])).int().tolist()
    [[1, 1, 0], [1, 1, 0], [0, 0, 1]]
    """
    image, text = same_images(images), same_texts(texts)
    known = _pairs(image, text, len(text)).unique()  # sorted

    def right(rows: Tensor) -> Tensor:
        return _among(known, _pairs(image[rows][:, None], text[rows], len(text)))

    return right


def gallery(images: Tensor, texts: Sequence[str]) -> Gallery:
    """The gallery of images (B, C, H, W) and their B texts without duplicates.

    >>> images = torch.tensor([0.0, 0.0, 1.0]).view(3, 1, 1, 1)
    >>> found = gallery(images, ["a cat", "an animal", "an animal"])
    >>> found.rows.tolist(), found.columns.tolist(), found.relevant.int().tolist()
    ([0, 2], [0, 1], [[1, 1], [0, 1]])
    """
    image, text = same_images(images), same_texts(texts)
    rows, columns = _first(image), _first(text)
    known = _pairs(image, text, len(text)).unique()
    parts = [
        _among(known, _pairs(part[:, None], text[columns], len(text)))
        for part in image[rows].split(256)  # all at once may be more than the memory holds
    ]
    return Gallery(rows, columns, torch.cat(parts))


def _pairs(image: Tensor, text: Tensor, count: int) -> Tensor:
    """One number for each pair of numbers, of which the second is below `count`."""
    return image * count + text


def _among(known: Tensor, asked: Tensor) -> Tensor:
    """Which of the numbers asked, of any shape, are among the known ones, which are sorted."""
    return known[torch.searchsorted(known, asked).clamp(max=len(known) - 1)] == asked


def _first(numbers: Tensor) -> Tensor:
    """The first index of each number, in this order; numbers count from 0 as they appear."""
    places: dict[int, int] = {}
    for place, number in enumerate(numbers.tolist()):
        places.setdefault(number, place)
    return torch.tensor(list(places.values()), dtype=torch.int64)
