"""Modality dropout: a model learns to do without an input by sometimes not getting it.

Trained on complete samples, a model leans on its best modality, and falls when that is missing.
Here every modality of every sample is hidden now and then, but never the last one.

Paper: ModDrop, Adaptive Multi-Modal Gesture Recognition (arXiv 1501.00102).
Differs from the paper: a sample that would lose all of its modalities keeps one, chosen evenly.

B samples.
"""

from collections.abc import Mapping

import torch
from torch import Tensor


def modality_dropout(
    present: Mapping[str, Tensor],
    share: float | Mapping[str, float],
    generator: torch.Generator | None = None,
) -> dict[str, Tensor]:
    """What is left: bool (B,) by name, from what was there, bool (B,) by name.

    share: the chance from 0 to 1 that a modality is hidden, one for all or one by name (a name left
    out is never hidden). Of M modalities hidden with chance p, each is in the end missing in
    p - p^M / M of the samples, since one always stays. Hand the result to a model as its `present`.
    With a step's own generator the batch stays a pure function of the step.

    Raises ValueError on shares outside 0 to 1, on names that are none, and on different batch sizes.

    >>> both = everything(["image", "words"], batch=1000)
    >>> left = modality_dropout(both, 0.5, torch.Generator().manual_seed(0))
    >>> bool((left["image"] | left["words"]).all()), bool(left["image"].all())
    (True, False)
    """
    names = list(present)
    shares = dict.fromkeys(names, share) if isinstance(share, float | int) else dict(share)
    check_shares(present, shares)
    there = torch.stack([present[name] for name in names])  # (M, B)
    hidden = torch.tensor([float(shares.get(name, 0.0)) for name in names])
    kept = torch.rand(there.shape, generator=generator) >= hidden[:, None]  # rand is below 1
    left = there & kept.to(there.device)
    # One that was there, evenly: the largest of as many random numbers.
    luck = torch.rand(there.shape, generator=generator).to(there.device)
    saved = luck.masked_fill(~there, -1).argmax(dim=0)  # (B,)
    rows = torch.arange(there.shape[1], device=there.device)
    left[saved, rows] |= there[saved, rows] & ~left.any(dim=0)
    return dict(zip(names, left))


def everything(
    names: list[str], batch: int, device: torch.device | None = None
) -> dict[str, Tensor]:
    """Nothing is missing: bool (B,), all True, by name.

    >>> everything(["image"], batch=2)
    {'image': tensor([True, True])}
    """
    return {name: torch.ones(batch, dtype=torch.bool, device=device) for name in names}


def hide(features: Mapping[str, Tensor], present: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Features (B, ...) by name with zeros where absent, for models that know no `present`.

    What stood there is gone, be it nan. Modalities that `present` does not name are there.

    >>> hide({"words": torch.tensor([[1.0], [2.0]])}, {"words": torch.tensor([True, False])})
    {'words': tensor([[1.],
            [0.]])}
    """
    found = dict(features)
    for name, flags in present.items():
        if name not in features:
            raise ValueError(f"modality {name!r} is none of {', '.join(features)}")
        value = features[name]
        if flags.shape != value.shape[:1]:
            raise ValueError(
                f"modality {name!r} has {len(value)} samples, but its presence is of {len(flags)}"
            )
        rows = flags.reshape(-1, *[1] * (value.ndim - 1))
        found[name] = torch.where(rows, value, torch.zeros_like(value))
    return found


def check_shares(present: Mapping[str, Tensor], shares: Mapping[str, float]) -> None:
    """Refuse chances outside 0 to 1, of names that are none, and batches that differ.

    >>> check_shares(everything(["image"], batch=2), {"image": 1.5})
    Traceback (most recent call last):
    ValueError: modality 'image' is hidden with a chance of 1.5, not of 0 to 1
    """
    if not present:
        raise ValueError("there are 0 modalities to hide")
    sizes = {name: len(flags) for name, flags in present.items()}
    first = next(iter(sizes))
    for name, size in sizes.items():
        if size != sizes[first]:
            raise ValueError(
                f"modality {name!r} has {size} samples and modality {first!r} {sizes[first]}"
            )
    for name, share in shares.items():
        if name not in present:
            raise ValueError(f"modality {name!r} is none of {', '.join(present)}")
        if not 0 <= share <= 1:
            raise ValueError(f"modality {name!r} is hidden with a chance of {share}, not of 0 to 1")
