"""A small network that classifies each cell of an image: shape, colour, size and texture.

Who answers questions about images does not start from pixels: the image's features come from a
network that has learned to name things and their properties. Here the things lie on a grid.

Paper: Bottom-Up and Top-Down Attention for Image Captioning and Visual Question Answering (Anderson
et al. 2018, arXiv 1707.07998), section 3.1: features trained on objects and their attributes.
Dimensions: B batch, C channels, N cells, D width, K classes of one property.
Differs from the paper: cells of a grid instead of detected regions; the features are the
probabilities themselves, so that what is passed on can be read.
"""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from scratchmm.layers.convolution import NormedConvolution

CELL = 4  # pixels along a side of a cell: two convolutions with stride 2


class GridClassifier(nn.Module):
    """Four convolutions, and for each property a map of scores, a cell of 4 x 4 pixels each.

    classes: how many values each property has; one more, the first, stands for "nothing here".

    >>> grid_classifier = GridClassifier(classes=(8, 8, 2, 3))
    >>> [logits.shape[1] for logits in grid_classifier(torch.zeros(2, 3, 32, 32))]
    [9, 9, 3, 4]
    >>> grid_classifier.features(torch.zeros(2, 3, 32, 32)).shape
    torch.Size([2, 64, 25])
    """

    def __init__(self, classes: Sequence[int], channels: int = 3, width: int = 64) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            _layer(channels, width // 2, 2), _layer(width // 2, width, 2), _layer(width, width, 1)
        )
        self.around = _layer(width, width, 1)  # what a thing is shows in the cells beside, too
        self.properties = nn.ModuleList(nn.Conv2d(width, 1 + count, 1) for count in classes)

    def forward(self, images: Tensor) -> list[Tensor]:
        """images: float (B, C, height, width). For each property the logits (B, 1 + K, N)."""
        x = self.layers(images)  # (B, D, height // 4, width // 4)
        x = x + self.around(x)  # (B, D, height // 4, width // 4)
        return [scores(x).flatten(2) for scores in self.properties]

    def features(self, images: Tensor) -> Tensor:
        """images: float (B, C, height, width). What is where: probabilities (B, N, all classes)."""
        parts = [logits.softmax(dim=1) for logits in self(images)]
        return torch.cat(parts, dim=1).transpose(1, 2)


def _layer(channels: int, width: int, stride: int) -> nn.Sequential:
    return nn.Sequential(NormedConvolution(channels, width, 3, stride), nn.ReLU())


def cell_labels(masks: Tensor, values: Tensor, least: float = 0.2) -> Tensor:
    """What each cell should be called: int64 (P, N), for each property 0 or 1 + its value there.

    masks: bool (things, height, width); values: int64 (things, P), the value of each property of
    each thing. A cell belongs to the thing that covers most of it, if that is `least` of it.

    >>> masks = torch.zeros(1, 4, 8).bool()
    >>> masks[0, :, 4:] = True
    >>> cell_labels(masks, torch.tensor([[6, 2]])).tolist()
    [[0, 7], [0, 3]]
    """
    cover = F.avg_pool2d(masks[None].float(), CELL)[0].flatten(1)  # (things, N)
    share, thing = cover.max(dim=0)  # each (N,)
    labels = 1 + values[thing].T  # (P, N)
    return labels * (share > least)


def grid_loss(
    grid_classifier: nn.Module, images: Tensor, mixed: Tensor, labels: Tensor, color: int
) -> Tensor:
    """The mean cross-entropy of all properties over the cells: a scalar.

    images: float (B, C, H, W), for the property number `color`; mixed: the same in other colours,
    for all others; labels: int64 (B, P, N).

    >>> grid_classifier, images = GridClassifier(classes=(8, 2)), torch.zeros(1, 3, 8, 8)
    >>> grid_loss(grid_classifier, images, images, torch.zeros(1, 2, 4).long(), color=0).shape
    torch.Size([])
    """
    # One pass for both: apart, each would be brought to a mean of its own, unlike any image later.
    scores = grid_classifier(torch.cat([images, mixed]))
    losses = []
    for place, found in enumerate(scores):
        plain, other = found.chunk(2)
        losses.append(F.cross_entropy(plain if place == color else other, labels[:, place]))
    return torch.stack(losses).mean()
