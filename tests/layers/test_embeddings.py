"""Patches of clips and spectrograms against convolutions; sinusoids against explicit loops."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from scratchmm.layers.boxes import SpectrogramPatchEmbedding, TubeletEmbedding
from scratchmm.layers.embeddings import sinusoidal_positions
from shape_comments import check_shape_comments


def copied(linear, convolution):
    with torch.no_grad():
        linear.weight.copy_(convolution.weight.flatten(1))
        if linear.bias is not None:
            linear.bias.copy_(convolution.bias)


def test_tubelets_are_a_3d_convolution():
    ours = TubeletEmbedding(channels=2, frames=2, patch=3, width=5).double()
    theirs = nn.Conv3d(2, 5, (2, 3, 3), stride=(2, 3, 3)).double()
    copied(ours.projection, theirs)
    clips = torch.randn(4, 6, 2, 9, 12, dtype=torch.float64)  # frames before channels
    expected = theirs(clips.transpose(1, 2)).flatten(2).transpose(1, 2)
    torch.testing.assert_close(ours(clips), expected, rtol=0, atol=1e-12)


@given(mels=st.integers(3, 9), frames=st.integers(3, 12), stride=st.integers(1, 4))
@settings(max_examples=20, deadline=None)
def test_spectrogram_patches_are_an_overlapping_convolution(mels, frames, stride):
    ours = SpectrogramPatchEmbedding(patch=3, stride=stride, width=5).double()
    theirs = nn.Conv2d(1, 5, 3, stride=stride).double()
    copied(ours.projection, theirs)
    spectrograms = torch.randn(2, mels, frames, dtype=torch.float64)
    expected = theirs(spectrograms[:, None]).flatten(2).transpose(1, 2)
    torch.testing.assert_close(ours(spectrograms), expected, rtol=0, atol=1e-12)


def test_sinusoidal_positions_are_the_papers():
    table = sinusoidal_positions(7, 6)
    assert table.dtype == torch.float32 and table.shape == (7, 6)
    for position in range(7):
        for i in range(3):
            angle = position / 10000 ** (2 * i / 6)
            assert table[position, 2 * i].item() == pytest.approx(math.sin(angle), abs=1e-6)
            assert table[position, 2 * i + 1].item() == pytest.approx(math.cos(angle), abs=1e-6)


def test_far_positions_keep_their_digits():
    table = sinusoidal_positions(100_001, 4)
    assert table[100_000, 0].item() == pytest.approx(math.sin(100_000), abs=1e-6)
    angle = 100_000 / 10000 ** (2 / 6)
    table = sinusoidal_positions(100_001, 6)
    assert table[100_000, 2].item() == pytest.approx(math.sin(angle), abs=1e-6)


@pytest.mark.parametrize(
    ("call", "sentence"),
    [
        (
            lambda: TubeletEmbedding(3, 2, 4, 8)(torch.zeros(1, 3, 3, 8, 8)),
            "^clip length 3 is not divisible by tubelet length 2$",
        ),
        (
            lambda: TubeletEmbedding(3, 2, 4, 8)(torch.zeros(1, 2, 3, 9, 8)),
            "^image height 9 is not divisible by patch size 4$",
        ),
        (
            lambda: TubeletEmbedding(3, 2, 4, 8)(torch.zeros(1, 2, 3, 8, 9)),
            "^image width 9 is not divisible by patch size 4$",
        ),
        (
            lambda: TubeletEmbedding(3, 2, 4, 8)(torch.zeros(1, 2, 1, 8, 8)),
            "^the clips have 1 channels, but this model takes 3$",
        ),
        (
            lambda: SpectrogramPatchEmbedding(4, 2, 8)(torch.zeros(1, 3, 9)),
            "^a spectrogram of 3 x 9 is smaller than patch 4$",
        ),
        (
            lambda: SpectrogramPatchEmbedding(4, 2, 8)(torch.zeros(1, 9, 3)),
            "^a spectrogram of 9 x 3 is smaller than patch 4$",
        ),
        (
            lambda: sinusoidal_positions(3, 5),
            "^width 5 is not divisible by a pair of sine and cosine, 2$",
        ),
    ],
)
def test_refusals(call, sentence):
    with pytest.raises(ValueError, match=sentence):
        call()


def run_shapes() -> None:
    from scratchmm.layers import embeddings

    embeddings.sinusoidal_positions(7, 12)


def test_shape_comments_are_true() -> None:
    check_shape_comments(run_shapes, "layers/embeddings.py")
