"""unCLIP's decoder: what its config refuses. What one draws with it: test_unclip.py."""

from dataclasses import replace

import pytest

from scratchmm.diffusion import unet
from scratchmm.diffusion.unclip_decoder import tiny
from shape_comments import check_shape_comments


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"unet": unet.tiny()}, "decoder has context_width None"),
        ({"patch": 5}, "channels 12 is not divisible by a patch's pixels 25"),
        ({"image_size": 15}, "image size 15 is not divisible by patch size 2"),
        ({"target": "start"}, "target 'start' is none of noise, x0, velocity"),
    ],
)
def test_sizes_that_do_not_fit_are_refused(change, sentence):
    if "unet" in change:
        change = change | {"unet": replace(change["unet"], channels=12)}
    with pytest.raises(ValueError, match=sentence):
        replace(tiny(), **change)


def run_shapes() -> None:
    from dataclasses import replace

    import torch

    from scratchmm.diffusion import interpolation, process, unclip, unclip_decoder, unet

    sizes = {"channels": 12, "widths": (6, 12), "groups": 3, "heads": 3, "context_width": 11}
    config = replace(unet.tiny_with_context(), **sizes)
    config = unclip_decoder.DecoderConfig(config, 10, 8, patch=2, tokens=5)
    decoder = unclip_decoder.Decoder(config)
    levels, images = process.cosine_schedule(7), torch.randn(2, 3, 8, 12)
    embeddings = torch.randn(2, 10)
    unclip_decoder.decoder_loss(decoder, levels, images, embeddings)
    unclip.invert(decoder, levels, images, embeddings, steps=1)
    unclip.variations(decoder, levels, embeddings[:1], [5, 6, 7, 8], steps=1)
    shares = [0.0, 0.2, 0.4, 1.0]
    unclip.interpolate(decoder, levels, embeddings, decoder.noise([1, 2]), shares, steps=1)
    unclip.text_diffs(embeddings[:1], embeddings[1:], torch.randn(1, 10), shares)
    interpolation.slerp(torch.randn(3, 10), torch.randn(3, 10), 0.5)


def test_shape_comments_are_true() -> None:
    check_shape_comments(run_shapes, "diffusion/unclip_decoder.py")
