"""Two towers: encoders of any modalities, trained into one shared space by comparing directions.

Each tower encodes its modality as one vector, a projection brings it to the shared width, and only
its direction is kept. What differs between CLIP, ALIGN, AudioCLIP and VideoCLIP is the towers.

Paper: Learning Transferable Visual Models From Natural Language Supervision (Radford et al. 2021,
arXiv 2103.00020), figure 3 and section 2.3. More than two towers, compared in pairs: AudioCLIP
(Guzhov et al. 2021, arXiv 2106.13043), section 3.
Dimensions: B batch, D width of a tower, E of the shared space.
Differs from the paper: the scale's limit holds in the forward pass, and its gradient still flows
there.
"""

import math
from collections.abc import Mapping
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class LogitScale(nn.Module):
    """The learned scale that cosine similarities are multiplied by: 1 / temperature, at most 100.

    It is learned as a logarithm, so that steps are relative. Above the limit the value is held but
    the gradient still flows, so that an overshot scale comes back. No log_scale is so large that exp
    overflows: the logarithm is held, not the scale.

    >>> round(LogitScale(initial=0.07)().item(), 2)
    14.29
    """

    def __init__(self, initial: float = 0.07, limit: float = 100.0) -> None:
        super().__init__()
        self.log_scale = nn.Parameter(torch.tensor(math.log(1 / initial)))
        self.log_limit = math.log(limit)

    def forward(self) -> Tensor:
        """The scale, a scalar."""
        excess = (self.log_scale - self.log_limit).clamp(min=0.0).detach()
        return (self.log_scale - excess).exp()


class TwoTowerOutput(NamedTuple):
    """The embeddings of one batch, a tensor for each modality, and the scale of their logits."""

    embeddings: dict[str, Tensor]  # name -> (B, E), unit length
    scale: Tensor  # scalar, 1 / temperature

    def logits(self, rows: str, columns: str) -> Tensor:
        """scale * cosine similarity: a row for each sample of one modality, columns of another."""
        return self.scale * self.embeddings[rows] @ self.embeddings[columns].T


class TwoTower(nn.Module):
    """Two or more towers, each with a projection into the shared space, and a learned scale.

    towers: name -> a module that gives one vector (B, D) a sample; widths: name -> its D;
    embedding: E. Both must name the same modalities (see `check_towers`).

    >>> towers = {"sound": nn.Flatten(), "text": nn.EmbeddingBag(99, 6)}
    >>> model = TwoTower(towers, {"sound": 20, "text": 6}, embedding=4)
    >>> output = model({"sound": torch.zeros(3, 4, 5), "text": torch.zeros(3, 7).long()})
    >>> output.embeddings["sound"].shape, output.logits("sound", "text").shape
    (torch.Size([3, 4]), torch.Size([3, 3]))
    """

    def __init__(
        self, towers: Mapping[str, nn.Module], widths: Mapping[str, int], embedding: int
    ) -> None:
        super().__init__()
        check_towers(towers, widths)
        self.towers = nn.ModuleDict(towers)
        self.projections = nn.ModuleDict(
            {name: nn.Linear(widths[name], embedding, bias=False) for name in towers}
        )
        self.logit_scale = LogitScale()

    def encode(self, name: str, *inputs: Tensor) -> Tensor:
        """What the tower of that name takes, such as images, or tokens. Returns unit vectors (B, E)."""
        pooled = self.towers[name](*inputs)  # (B, D)
        return F.normalize(self.projections[name](pooled), dim=-1)  # (B, E)

    def forward(self, batch: Mapping[str, Tensor | tuple[Tensor, ...]]) -> TwoTowerOutput:
        """batch: name -> what its tower takes, one tensor or a tuple of them; any of the modalities."""
        embeddings = {}
        for name, inputs in batch.items():
            inputs = inputs if isinstance(inputs, tuple) else (inputs,)
            embeddings[name] = self.encode(name, *inputs)  # (B, E)
        return TwoTowerOutput(embeddings, self.logit_scale())


def check_towers(towers: Mapping[str, nn.Module], widths: Mapping[str, int]) -> None:
    """Refuse fewer than two towers, and widths that are not of these towers.

    >>> check_towers({"image": nn.Identity(), "text": nn.Identity()}, {"image": 3, "sound": 4})
    Traceback (most recent call last):
    ValueError: the towers are image, text, but the widths are of image, sound
    """
    if len(towers) < 2:
        raise ValueError(f"there must be at least 2 towers to compare, not {len(towers)}")
    if set(towers) != set(widths):
        raise ValueError(
            f"the towers are {', '.join(towers)}, but the widths are of {', '.join(widths)}"
        )
