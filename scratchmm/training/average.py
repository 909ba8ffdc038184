"""A moving average of a model's weights: what diffusion models are sampled with.

The last steps of a training still move the weights to and fro, for each batch has noise of its
own; their average lies in the middle and draws better images than any of them.

Papers: Denoising Diffusion Probabilistic Models (Ho et al. 2020, arXiv 2006.11239), appendix B, with
a decay of 0.9999; the idea from Acceleration of Stochastic Approximation by Averaging (Polyak and
Juditsky 1992).
Differs from the papers: the decay grows with the steps, (1 + n) / (10 + n) after n of them, up to
its limit, so that a short training soon forgets the random weights that it began with.
"""

from copy import deepcopy
from typing import Any

import torch
from torch import Tensor, nn


class Averaged(nn.Module):
    """A model that learns, and beside it the exponential moving average of its weights.

    Both, and the number of updates, are in its state: with `fit` over the whole, the average stands in
    the checkpoint, and a run that goes on goes on with it, bit for bit. Called as the model is, it
    updates the average once a step; a loss that calls `pair.model` has to call `update` itself.

    >>> pair = Averaged(nn.Linear(1, 1, bias=False), decay=0.5)
    >>> with torch.no_grad():
    ...     before = pair.average.weight.item()
    ...     _ = pair.model.weight.add_(1.0)
    >>> for _ in range(20):
    ...     pair.update()
    >>> round(pair.average.weight.item() - before, 3)
    1.0
    """

    updates: Tensor

    def __init__(self, model: nn.Module, decay: float = 0.999) -> None:
        super().__init__()
        if not 0 <= decay < 1:
            raise ValueError(f"the decay of an average is {decay} and must be from 0 to below 1")
        self.model = model
        self.average = deepcopy(model).requires_grad_(False)
        self.decay = decay
        self.register_buffer("updates", torch.tensor(0))

    def forward(self, *inputs: Any, **options: Any) -> Any:
        """What the model that learns gives; in training, the average is updated first."""
        if self.training:
            self.update()
        return self.model(*inputs, **options)

    @torch.no_grad()
    def update(self) -> None:
        """average = decay * average + (1 - decay) * weights; buffers are copied as they are."""
        count = int(self.updates.add_(1))
        decay = min(self.decay, (1 + count) / (10 + count))
        pairs = zip(self.average.parameters(), self.model.parameters(), strict=True)
        for average, weights in pairs:
            average.lerp_(weights.to(average.dtype), 1 - decay)
        for kept, now in zip(self.average.buffers(), self.model.buffers(), strict=True):
            kept.copy_(now)
