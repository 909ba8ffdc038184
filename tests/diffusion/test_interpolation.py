"""Interpolation along the arc: equal angles, any length, half precision, what is refused."""

import math

import pytest
import torch
import torch.nn.functional as F

from scratchmm.diffusion.interpolation import slerp
from shape_comments import check_shape_comments


def normal(*shape, seed=1):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed)).double()


def test_slerp_turns_by_equal_angles_and_keeps_the_length():
    start, end = F.normalize(normal(5, 7), dim=-1), F.normalize(normal(5, 7, seed=2), dim=-1)
    whole = (start * end).sum(dim=-1).acos()
    for share in (0.0, 0.25, 0.5, 1.0):
        between = slerp(start, end, share)
        torch.testing.assert_close(between.norm(dim=-1), torch.ones(5).double())
        torch.testing.assert_close((between * start).sum(dim=-1), (share * whole).cos())
        torch.testing.assert_close((between * end).sum(dim=-1), ((1 - share) * whole).cos())
    torch.testing.assert_close(slerp(start, end, 0.0), start)
    torch.testing.assert_close(slerp(start, end, 1.0), end)


def test_slerp_between_nearly_the_same():
    start = normal(2, 7)
    torch.testing.assert_close(slerp(start, start, 0.3), start)
    moved = start + 1e-5 * normal(2, 7, seed=2)
    torch.testing.assert_close(slerp(start, moved, 0.5), (start + moved) / 2)
    start.requires_grad_()
    slerp(start, start.detach(), 0.3).sum().backward()
    assert torch.isfinite(start.grad).all()


def test_slerp_refuses_opposites():
    rows = torch.tensor([[1.0, 0.0], [0.0, 1.0]])
    with pytest.raises(ValueError, match="^embedding 1 and its end are opposite"):
        slerp(rows, torch.tensor([[0.0, 1.0], [0.0, -2.0]]), 0.5)
    assert math.isclose(slerp(rows[:1], rows[1:], 0.5).norm().item(), 1, rel_tol=1e-6)


@pytest.mark.parametrize("factor", [1e-30, 1e-9, 1.0, 1e22, 1e30])
@pytest.mark.parametrize("degrees", [0.5, 45, 90, 179])
def test_slerp_of_vectors_of_any_length_stays_on_its_arc(factor, degrees):
    angle = math.radians(degrees)
    start = torch.tensor([[1.0, 0.0]]) * factor
    end = torch.tensor([[math.cos(angle), math.sin(angle)]]) * factor
    for share in (0.0, 0.25, 0.5, 1.0):
        found = slerp(start, end, share)[0].double() / factor
        expected = [math.cos(share * angle), math.sin(share * angle)]
        assert found.tolist() == pytest.approx(expected, abs=2e-4)


def test_from_a_vector_of_zeros_there_is_only_the_line():
    start, end = torch.zeros(2, 3), torch.tensor([[0.0, 0.0, 4.0], [1.0, 2.0, 3.0]])
    start[1] = end[1]
    assert slerp(start, end, 0.25).tolist() == [[0.0, 0.0, 1.0], [1.0, 2.0, 3.0]]
    assert slerp(end, start, 0.25).tolist() == [[0.0, 0.0, 3.0], [1.0, 2.0, 3.0]]


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_slerp_in_half_precision(dtype):
    generator = torch.Generator().manual_seed(0)
    start, end = (300 * torch.randn(5, 64, generator=generator).to(dtype) for _ in range(2))
    found = slerp(start, end, 0.3)
    expected = slerp(start.double(), end.double(), 0.3)
    assert found.dtype == dtype and (found.double() - expected).abs().max() < 5


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
    check_shape_comments(run_shapes, "diffusion/interpolation.py")
