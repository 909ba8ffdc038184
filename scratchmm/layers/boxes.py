"""Patches of clips and of spectrograms, as `PatchEmbedding` has them of images.

Papers: ViViT (Arnab et al. 2021, arXiv 2103.15691), section 3.2, for tubelets; AST (Gong et al.
2021, arXiv 2104.01778), section 2.1, for overlapping patches of a spectrogram.
Dimensions: B batch, C channels, N patches, F frames, D width.
Differs from the papers: patches are cut by a rearrangement and projected by a Linear layer.
"""

import torch  # noqa: F401  (for the examples)
import torch.nn.functional as F
from einops import rearrange
from torch import Tensor, nn

from scratchmm.layers.checks import check_channels, check_divisible


class TubeletEmbedding(nn.Module):
    """Clips to tokens: little boxes of frames x patch x patch pixels through one Linear layer.

    Equals Conv3d with kernel and stride (frames, patch, patch). Note the clip's order: frames come
    before channels.

    >>> clip = torch.zeros(2, 4, 3, 6, 6)
    >>> TubeletEmbedding(channels=3, frames=2, patch=3, width=8)(clip).shape
    torch.Size([2, 8, 8])
    """

    def __init__(self, channels: int, frames: int, patch: int, width: int) -> None:
        super().__init__()
        self.channels, self.frames, self.patch = channels, frames, patch
        self.projection = nn.Linear(channels * frames * patch * patch, width)

    def forward(self, clips: Tensor) -> Tensor:
        """clips: float (B, F, C, height, width). Returns (B, N, D), earliest tubelets first."""
        check_channels("clips", clips.shape[2], self.channels)
        check_divisible("clip length", clips.shape[1], "tubelet length", self.frames)
        check_divisible("image height", clips.shape[-2], "patch size", self.patch)
        check_divisible("image width", clips.shape[-1], "patch size", self.patch)
        sides = {"t": self.frames, "p": self.patch, "q": self.patch}
        boxes = rearrange(clips, "b (f t) c (h p) (w q) -> b (f h w) (c t p q)", **sides)
        return self.projection(boxes)  # (B, N, D)


class SpectrogramPatchEmbedding(nn.Module):
    """Spectrograms to tokens: square patches that may overlap (stride below patch).

    Equals Conv2d(1, width, kernel_size=patch, stride=stride). What does not fill a patch at the end
    is left out, as a convolution does.

    >>> SpectrogramPatchEmbedding(patch=4, stride=2, width=8)(torch.zeros(2, 10, 7)).shape
    torch.Size([2, 8, 8])
    """

    def __init__(self, patch: int, stride: int, width: int) -> None:
        super().__init__()
        self.patch, self.stride = patch, stride
        self.projection = nn.Linear(patch * patch, width)

    def forward(self, spectrograms: Tensor) -> Tensor:
        """spectrograms: float (B, mels, frames). Returns (B, N, D), low mels first."""
        mels, frames = spectrograms.shape[-2:]
        if min(mels, frames) < self.patch:
            raise ValueError(
                f"a spectrogram of {mels} x {frames} is smaller than patch {self.patch}"
            )
        patches = F.unfold(spectrograms.unsqueeze(1), self.patch, stride=self.stride)
        return self.projection(patches.transpose(1, 2))  # (B, N, D)
