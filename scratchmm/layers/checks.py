"""What bricks refuse, in a sentence: shapes that do not fit, masks and biases that are none."""

import torch
from torch import Tensor


def check_attention_shapes(
    query: Tensor, key: Tensor, value: Tensor, mask: Tensor | None, bias: Tensor | None = None
) -> None:
    """Refuse shapes, masks and biases that `attend` can't work with.

    >>> check_attention_shapes(torch.zeros(1, 1, 2, 4), *torch.zeros(2, 1, 1, 2, 8), None)
    Traceback (most recent call last):
    ValueError: query has width 4 but key has width 8
    """
    shapes = [tuple(part.shape) for part in (query, key, value)]
    if min(len(shape) for shape in shapes) < 2:
        raise ValueError(
            "query, key and value are {}, {} and {}, not (..., length, width)".format(*shapes)
        )
    if query.shape[-1] != key.shape[-1]:
        raise ValueError(f"query has width {query.shape[-1]} but key has width {key.shape[-1]}")
    if key.shape[-2] != value.shape[-2]:
        raise ValueError(f"there are {key.shape[-2]} keys but {value.shape[-2]} values")
    try:
        outer = broadcast_shape(*(shape[:-2] for shape in shapes))
    except ValueError:
        raise ValueError(
            "query is {}, key {} and value {}: their batches or heads do not fit".format(*shapes)
        ) from None
    scores = (*outer, query.shape[-2], key.shape[-2])
    if mask is not None:
        if mask.dtype != torch.bool:
            raise ValueError(
                f"the attention mask is {mask.dtype}, not torch.bool (True = may be seen)"
            )
        _check_broadcast("mask", mask, scores)
    if bias is not None:
        if not bias.is_floating_point():
            raise ValueError(
                f"the attention bias is {bias.dtype}, not floats to be added to the scores "
                "(what may be seen is the mask's to say)"
            )
        _check_broadcast("bias", bias, scores)


def broadcast_shape(*shapes: tuple[int, ...]) -> tuple[int, ...]:
    """The shape that tensors of these shapes have together, as `torch.broadcast_shapes` says it.

    That one imports sympy at its first call, which takes a third as long as torch's whole import.

    >>> broadcast_shape((3, 1), (4,), ())
    (3, 4)
    >>> broadcast_shape((2, 3), (4,))
    Traceback (most recent call last):
    ValueError: the shapes (2, 3) and (4,) do not fit together
    """
    length = max(len(shape) for shape in shapes)
    outer = []
    for sizes in zip(*((1,) * (length - len(shape)) + tuple(shape) for shape in shapes)):
        size = next((size for size in sizes if size != 1), 1)
        if any(other not in (1, size) for other in sizes):
            raise ValueError(f"the shapes {' and '.join(map(str, shapes))} do not fit together")
        outer.append(size)
    return tuple(outer)


def check_divisible(what: str, size: int, by: str, divisor: int) -> None:
    """Refuse a size that its parts do not fill.

    >>> check_divisible("image height", 30, "patch size", 16)
    Traceback (most recent call last):
    ValueError: image height 30 is not divisible by patch size 16
    """
    if divisor < 1 or size % divisor:
        raise ValueError(f"{what} {size} is not divisible by {by} {divisor}")


def check_channels(what: str, found: int, expected: int) -> None:
    """Refuse images of another number of channels.

    >>> check_channels("images", 1, 3)
    Traceback (most recent call last):
    ValueError: the images have 1 channels, but this model takes 3
    """
    if found != expected:
        raise ValueError(f"the {what} have {found} channels, but this model takes {expected}")


def _check_broadcast(what: str, part: Tensor, scores: tuple[int, ...]) -> None:
    # From the last axis on; what a part lacks in front is broadcast.
    pairs = zip(reversed(part.shape), reversed(scores))
    if part.ndim > len(scores) or not all(given in (1, size) for given, size in pairs):
        raise ValueError(
            f"the attention {what} is {tuple(part.shape)}, which does not broadcast to the scores "
            f"of {scores}"
        )
