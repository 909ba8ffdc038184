"""The audio CNN: a spectrogram is an image, so a CNN for images classifies sounds.

Papers: CNN Architectures for Large-Scale Audio Classification (Hershey et al. 2016, arXiv
1609.09430), a ResNet over log-mel spectrograms; class activation maps: Learning Deep Features for
Discriminative Localization (Zhou et al. 2015, arXiv 1512.04150), equations 1 and 2.
Dimensions: B batch, M mel bands, F frames, D channels; m and f: bands and frames of the feature
grid, which is M and F halved once for each stage but the first; K classes.
Differs from the papers: sounds of any length at once, with a mask, in place of pieces of 0.96
seconds; a few small stages, without pooling at the beginning. The mean goes over time only, so that
the head keeps the band of each feature: an object shifted in an image keeps its class, a vowel
shifted in frequency does not. Lesson 18 measures what that is worth.
"""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from scratchmm.layers.convolution import NormedConvolution, ResidualBlock
from scratchmm.layers.tracing import channels_last
from scratchmm.sentences import check_count, check_sizes


@dataclass(frozen=True)
class AudioCNNConfig:
    """The sizes of an audio CNN.

    >>> AudioCNNConfig(classes=10).shrink
    4
    >>> AudioCNNConfig(classes=10, channels=())
    Traceback (most recent call last):
    ValueError: 0 stages are too few: give the channels of at least one
    """

    classes: int  # that a sound may be of, K
    mels: int = 64  # bands of the spectrogram
    channels: tuple[int, ...] = (16, 32, 64)  # of each stage's output
    blocks: int = 1  # residual blocks of each stage

    def __post_init__(self) -> None:
        check_sizes(self)
        if not self.channels:
            raise ValueError("0 stages are too few: give the channels of at least one")

    @property
    def shrink(self) -> int:
        """The network's stride: bands, and frames, of the spectrogram per cell of the feature grid."""
        return 2 ** (len(self.channels) - 1)

    @property
    def grid_bands(self) -> int:
        """Bands of the feature grid."""
        return -(-self.mels // self.shrink)


def tiny() -> AudioCNNConfig:
    """A size for tests: 2 stages of one block."""
    return AudioCNNConfig(classes=5, mels=12, channels=(4, 6))


class AudioCNN(nn.Module):
    """Log-mel -> residual stages -> the mean over the real frames -> one Linear layer.

    `real` marks the frames that belong to each sound; the others are padding, whose content does
    not matter: in eval mode a sound has the same logits alone and in any batch. In training the
    batch norms count the zeros of the padding: put sounds of similar length together.

    `measure` the training sounds first: their mean and deviation are stored with the weights.

    >>> model = AudioCNN(tiny()).eval()
    >>> log_mel = torch.linspace(-80, 0, 2 * 12 * 9).reshape(2, 12, 9)
    >>> model.measure(log_mel)
    >>> model(log_mel).shape
    torch.Size([2, 5])
    >>> real = torch.arange(9) < torch.tensor([[9], [6]])
    >>> alone = model(log_mel[1:, :, :6])
    >>> torch.testing.assert_close(model(log_mel, real)[1:], alone)
    """

    mean: Tensor
    deviation: Tensor

    def __init__(self, config: AudioCNNConfig) -> None:
        super().__init__()
        self.config = config
        self.register_buffer("mean", torch.zeros(config.mels))
        self.register_buffer("deviation", torch.ones(config.mels))
        channels = config.channels[0]
        self.stem = NormedConvolution(1, channels, kernel=3)
        self.blocks = nn.ModuleList()
        for stage, width in enumerate(config.channels):
            for index in range(config.blocks):
                halves = stage > 0 and index == 0
                self.blocks.append(ResidualBlock(channels, width, stride=2 if halves else 1))
                channels = width
        self.head = nn.Linear(channels * config.grid_bands, config.classes)

    def measure(self, log_mel: Tensor, real: Tensor | None = None) -> None:
        """Store the mean and standard deviation of each band over all real frames of these sounds.

        log_mel: float (B, M, F); real: bool (B, F). Take training sounds only.
        """
        self.check(log_mel, real)
        frames = log_mel.transpose(1, 2)  # (B, F, M)
        frames = frames.flatten(0, 1) if real is None else frames[real]
        if not len(frames):
            raise ValueError("there is no real frame to measure")
        deviation, mean = torch.std_mean(frames, dim=0, correction=0)  # each (M,)
        self.mean.copy_(mean)
        self.deviation.copy_(deviation.where(deviation > 0, 1.0))

    def normalise(self, log_mel: Tensor) -> Tensor:
        """log_mel: float (B, M, F). Returns (B, M, F), each band standardised."""
        return (log_mel - self.mean[:, None]) / self.deviation[:, None]

    def features(self, log_mel: Tensor, real: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """The last stage's grid (B, D, m, f), zeros in the padding, and its real frames (B, f).

        log_mel: float (B, M, F); real: bool (B, F), True on frames of the sound.
        """
        self.check(log_mel, real)
        if real is None:
            real = log_mel.new_ones(log_mel.shape[::2], dtype=torch.bool)  # (B, F)
        x = self.normalise(log_mel).masked_fill(~real[:, None], 0.0)[:, None]  # (B, 1, M, F)
        mask = real[:, None, None].to(x.dtype)  # (B, 1, 1, F)
        x = F.relu(self.stem(x).mul_(mask), inplace=True)  # (B, D, M, F)
        x = channels_last(x)
        for block in self.blocks:
            x, mask = masked_block(block, x, mask)  # type: ignore[arg-type]
        return x, mask[:, 0, 0].bool()

    def forward(self, log_mel: Tensor, real: Tensor | None = None) -> Tensor:
        """log_mel: float (B, M, F); real: bool (B, F), True on frames of the sound, or all are.

        Returns logits (B, K).
        """
        x, real = self.features(log_mel, real)
        return self.head(mean_over_time(x, real).flatten(1))  # (B, K)

    def evidence(self, log_mel: Tensor, real: Tensor | None = None) -> Tensor:
        """The class activation map: summed over bands, averaged over frames, plus the bias it is
        the logit.

        log_mel: float (B, M, F); real: bool (B, F). Returns (B, K, m, f), zeros in the padding.
        """
        x, _ = self.features(log_mel, real)
        weight = self.head.weight.unflatten(1, x.shape[1:3])  # (K, D, m)
        return class_activation(x, weight)  # (B, K, m, f)

    def check(self, log_mel: Tensor, real: Tensor | None) -> None:
        """Refuse other axes or bands than the config's, no frames, and a mask that does not fit."""
        if log_mel.dim() != 3:
            raise ValueError(f"the log-mel has {log_mel.dim()} axes, not 3 (batch, bands, frames)")
        batch, bands, frames = log_mel.shape
        if bands != self.config.mels:
            raise ValueError(
                f"the log-mel has {bands} bands, but this model takes {self.config.mels}"
            )
        if not frames:
            raise ValueError("the log-mel has 0 frames, at least 1 is needed")
        if real is not None and (real.dtype != torch.bool or real.shape != (batch, frames)):
            given = f"{real.dtype} {tuple(real.shape)}"
            raise ValueError(f"the mask is {given}, but this log-mel needs bool {(batch, frames)}")


def masked_block(block: ResidualBlock, x: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
    """A residual block in which padding changes no sound's features: (output, its mask).

    x: float (B, C, M, F); mask: (B, 1, 1, F), 1 on frames of the sound.

    A convolution at the last frame reads one cell beyond it. A sound on its own has zeros there, from
    `padding=1`. In a batch that cell is padding, which norms and biases make non-zero. So each
    layer's output is masked again, inside the block too, which is why its layers are called here.

    >>> x, mask = torch.ones(1, 4, 6, 5), torch.tensor([[[[1.0, 1.0, 1.0, 0.0, 0.0]]]])
    >>> masked_block(ResidualBlock(4, 8, stride=2), x, mask)[1]
    tensor([[[[1., 1., 0.]]]])
    """
    *first, last = block.layers
    inner, beside = x, block.shortcut(x)
    if beside.shape[-1] != mask.shape[-1]:
        # Output frame t has its middle on input frame 2 t. Of n real frames ceil(n / 2) are left.
        mask = mask[..., ::2]
    for layer in first:
        inner = F.relu(layer(inner).mul_(mask), inplace=True)
    return F.relu(last(inner).add_(beside).mul_(mask), inplace=True), mask


def mean_over_time(x: Tensor, real: Tensor) -> Tensor:
    """The mean of each channel in each band over the real frames; zeros where no frame is real.

    This is how a sound of any length becomes one vector: the padding counts in neither the sum nor
    the number it is divided by.

    x: float (B, D, m, f); real: bool (B, f). Returns (B, D, m).

    >>> mean_over_time(torch.tensor([[[[1.0, 3.0, 9.0]]]]), torch.tensor([[True, True, False]]))
    tensor([[[2.]]])
    """
    counted = x.masked_fill(~real[:, None, None], 0.0).sum(dim=3)  # (B, D, m)
    return counted / real.sum(dim=1).clamp(min=1)[:, None, None]  # (B, D, m)


def class_activation(x: Tensor, weight: Tensor) -> Tensor:
    """Equation 2: the activation of class k at a cell, sum over d of weight[k, d] x[d].

    The head is linear and so is the mean, so they commute: the mean over time of the activations,
    summed over bands, is the logit without its bias. Each band has weights of its own.

    x: float (B, D, m, f); weight: (K, D, m), the head's. Returns (B, K, m, f).

    >>> x, weight = torch.tensor([[[[1.0, 2.0]], [[0.0, 1.0]]]]), torch.tensor([[[1.0], [-1.0]]])
    >>> class_activation(x, weight)
    tensor([[[[1., 1.]]]])
    """
    return torch.einsum("kdm,bdmf->bkmf", weight, x)  # (B, K, m, f)


def frame_mask(real: Tensor, hop: int) -> Tensor:
    """Which frames of a centred spectrogram belong to each sound of a padded batch.

    real: bool (B, S), True on samples, padding behind them. Frame t has its middle on sample
    t * hop, so n samples make 1 + n // hop frames. Returns bool (B, 1 + S // hop).

    >>> frame_mask(torch.arange(12) < torch.tensor([[8], [12]]), hop=4)
    tensor([[ True,  True,  True, False],
            [ True,  True,  True,  True]])
    """
    check_count("hop", hop, most=2**25)
    frames = torch.arange(1 + real.shape[1] // hop, device=real.device)  # (F,)
    return frames <= real.sum(dim=1, keepdim=True) // hop  # (B, F)
