"""CNN-LSTM: a CNN encodes each frame by itself, an LSTM the sequence of frames.

Paper: Long-term Recurrent Convolutional Networks for Visual Recognition and Description (LRCN;
Donahue et al. 2014, arXiv 1411.4389), section 4: a 2-D network turns each frame into a vector, an
LSTM reads the vectors, every frame predicts the clip's class, and the predictions are averaged.
Dimensions: B batch, F frames, N real frames of the whole batch, C channels, E numbers a frame,
D width of the LSTM's states, K classes.
Differs from the paper: the encoder is a small ResNet, trained from scratch with the LSTM, where
LRCN takes CaffeNet trained on ImageNet; no dropout. By default only the last frame predicts: the
first ones do not determine the direction of motion, and averaging them in slows training down.
"""

import math
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from scratchmm.layers.convolution import NormedConvolution, ResidualBlock
from scratchmm.layers.lstm import LSTM
from scratchmm.layers.tracing import channels_last, numbers_are_known
from scratchmm.sentences import check_sizes
from scratchmm.video.cnn3d import check_clips


@dataclass(frozen=True)
class CNNLSTMConfig:
    """The sizes of a CNN-LSTM."""

    classes: int  # of the classifier
    channels: tuple[int, ...] = (16, 32, 64)  # of the stem and of each block behind it
    grid: int = 4  # rows and columns of places that a frame's features keep
    features: int = 64  # numbers a frame that the LSTM reads
    width: int = 64  # of the LSTM's states
    layers: int = 1  # of the LSTM
    image_channels: int = 3  # of the clips
    average: bool = False  # all frames' predictions, as the paper does, or the last frame's

    def __post_init__(self) -> None:
        check_sizes(self)


def tiny() -> CNNLSTMConfig:
    """A size for tests."""
    return CNNLSTMConfig(5, channels=(8, 12), grid=2, features=11, width=10)


class FrameEncoder(nn.Module):
    """Encodes an image as E features: a stem and residual blocks, each halving height and width.

    Global average pooling would discard positions, and with them motion: the mean is taken in each
    cell of a grid, whatever the image's size, as in LRCN, whose fully connected layer fc6 also
    depends on positions.

    >>> FrameEncoder(tiny())(torch.zeros(3, 3, 32, 24)).shape
    torch.Size([3, 11])
    """

    def __init__(self, config: CNNLSTMConfig) -> None:
        super().__init__()
        self.cells = config.grid
        self.stem = NormedConvolution(config.image_channels, config.channels[0], 3, stride=2)
        pairs = zip(config.channels, config.channels[1:])
        self.blocks = nn.Sequential(*(ResidualBlock(a, b, stride=2) for a, b in pairs))
        self.output = nn.Linear(config.channels[-1] * config.grid**2, config.features)

    def forward(self, frames: Tensor) -> Tensor:
        """frames: float (N, C, height, width). Returns (N, E)."""
        x = self.blocks(F.relu(self.stem(channels_last(frames)), inplace=True))
        x = F.adaptive_avg_pool2d(x, self.cells).flatten(1)
        return F.relu(self.output(x))  # (N, E)


class CNNLSTM(nn.Module):
    """Clips of any number of frames, any height and width, to classes.

    >>> model, clips = CNNLSTM(tiny()), torch.zeros(2, 4, 3, 16, 24)
    >>> model(clips).shape, model.frame_logits(clips).shape
    (torch.Size([2, 5]), torch.Size([2, 4, 5]))
    """

    def __init__(self, config: CNNLSTMConfig) -> None:
        super().__init__()
        self.config = config
        self.encoder = FrameEncoder(config)
        self.lstm = LSTM(config.features, config.width, config.layers)
        self.head = nn.Linear(config.width, config.classes)

    def frame_logits(self, clips: Tensor, real: Tensor | None = None) -> Tensor:
        """clips: float (B, F, C, height, width); real: bool (B, F), False where a frame is padding.

        Returns (B, F, K): the prediction at each frame, from it and those before. Padding is never
        encoded, so that it cannot enter the batch's norms either; logits there mean nothing.

        How many frames are real is data, which torch.compile, torch.export and torch.func do not have:
        under them padding is encoded as black frames in evaluation, where norms do not mix frames. A
        mask in training is for eager mode (or for graph breaks, without fullgraph).
        """
        check_clips(clips, self.config.image_channels)
        if real is not None:
            check_real(real, clips)
        if real is not None and (self.training or numbers_are_known(real)):
            encoded = self.encoder(clips[real])  # (N, E)
            x = encoded.new_zeros(*real.shape, self.config.features)  # (B, F, E)
            x[real] = encoded
        else:
            if real is not None:
                clips = clips.masked_fill(~real[:, :, None, None, None], 0)
            x = self.encoder(clips.flatten(0, 1)).unflatten(0, (-1, clips.shape[1]))  # (B, F, E)
        return self.head(self.lstm(x, real=real)[0])  # (B, F, K)

    def forward(self, clips: Tensor, real: Tensor | None = None) -> Tensor:
        """clips: float (B, F, C, height, width); real: bool (B, F). Returns logits (B, K).

        They are the last real frame's; or, with `average`, log-probabilities: of the mean over real
        frames of each frame's softmax.
        """
        logits = self.frame_logits(clips, real)  # (B, F, K)
        if self.config.average:
            return average_prediction(logits, real)  # (B, K)
        return last_prediction(logits, real)  # (B, K)


def last_prediction(logits: Tensor, real: Tensor | None = None) -> Tensor:
    """The prediction at the last real frame: logits: (B, F, K). Returns (B, K).

    real: bool (B, F), with at least one True a row (ValueError).

    >>> logits = torch.tensor([[[1.0], [2.0], [3.0]]])
    >>> last_prediction(logits, torch.tensor([[True, True, False]]))
    tensor([[2.]])
    """
    if real is None:
        return logits[:, -1]  # (B, K)
    check_real(real, logits)
    frames = torch.arange(real.shape[1], device=real.device)  # (F,)
    last = frames.where(real, -1).argmax(dim=1)  # (B,)
    return logits[torch.arange(logits.shape[0], device=logits.device), last]  # (B, K)


def average_prediction(logits: Tensor, real: Tensor | None = None) -> Tensor:
    """log of the mean probability over real frames: logits: (B, F, K). Returns (B, K).

    real: bool (B, F), with at least one True a row (ValueError).

    >>> logits = torch.tensor([[[0.0, 0.0], [0.0, 50.0]]])
    >>> [round(p, 3) for p in average_prediction(logits).exp()[0].tolist()]
    [0.25, 0.75]
    """
    predictions = logits.log_softmax(dim=-1)  # (B, F, K)
    if real is None:
        return predictions.logsumexp(dim=1) - math.log(logits.shape[1])  # (B, K)
    check_real(real, logits)
    predictions = predictions.masked_fill(~real.unsqueeze(-1), -math.inf)  # (B, F, K)
    frames = real.sum(dim=1, keepdim=True).to(logits.dtype)  # (B, 1)
    return predictions.logsumexp(dim=1) - frames.log()  # (B, K)


def check_real(real: Tensor, clips: Tensor) -> None:
    """Refuse a mask of another shape than batch and frames of clips (or logits), and all padding.

    >>> check_real(torch.tensor([[True, True], [False, False]]), torch.zeros(2, 2, 3, 8, 8))
    Traceback (most recent call last):
    ValueError: clip 1 has no real frame
    """
    if real.shape != clips.shape[:2]:
        raise ValueError(
            f"the mask of shape {tuple(real.shape)} does not cover the batch and frames "
            f"{tuple(clips.shape[:2])}"
        )
    if real.dtype != torch.bool:
        raise ValueError(f"the mask of the frames is {real.dtype}, not torch.bool (True = real)")
    empty = ~real.any(dim=1)
    if numbers_are_known(empty) and empty.any():
        raise ValueError(f"clip {int(empty.nonzero()[0])} has no real frame")
