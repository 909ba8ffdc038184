"""ControlNet by itself: it adds 0 at first, and then only what its own weights have learned."""

from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st

from scratchmm.diffusion import controlnet
from scratchmm.diffusion.controlnet import (
    Control,
    Controlled,
    ControlNet,
    ControlNetConfig,
    HintEmbedding,
    ZeroConvolution,
    add_control,
    controlnet_from_unet,
)
from scratchmm.diffusion.ddim import ddim_sample
from scratchmm.diffusion.guidance import guided
from scratchmm.diffusion.process import cosine_schedule
from scratchmm.diffusion.unet import UNet, tiny_with_context
from shape_comments import check_shape_comments

BASE = replace(tiny_with_context(), channels=2, widths=(4, 6), groups=2, context_width=5)


def randomised(model, seed=0):
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.copy_(torch.randn(parameter.shape, generator=generator) * 0.3)
    return model.double()


def random(*shape, seed=1):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed)).double()


def pair(hint_widths=(3,), trained=False):
    """A trained base, and its copy as it begins, or with weights of its own."""
    base = randomised(UNet(BASE))
    control = controlnet_from_unet(base, hint_channels=1, hint_widths=hint_widths)
    return base, randomised(control, 7) if trained else control


def inputs(hint=(8, 12)):
    return {
        "noisy": random(3, 2, 8, 12),
        "timesteps": torch.tensor([5, 900, 40]),
        "context": random(3, 7, 5),
        "mask": torch.arange(7) < torch.tensor([[3], [7], [5]]),
        "hint": random(3, 1, *hint, seed=2),
    }


def test_published_size():
    with torch.device("meta"):
        model = ControlNet(controlnet.stable_diffusion_v1())
    assert sum(p.numel() for p in model.parameters()) == 361_279_120
    assert model.config.hint_shrink == 8


@pytest.mark.parametrize("scale", [1.0, 0.3, -2.0])
@torch.no_grad()
def test_at_first_the_base_bit_for_bit(scale):
    base, control = pair()
    given_ = inputs()
    model = Controlled(base, control, scale)
    hint = given_.pop("hint")
    assert torch.equal(model(**given_, hint=hint), base(**given_))
    torch.nn.init.ones_(control.middle_out.bias)
    assert not torch.equal(model(**given_, hint=hint), base(**given_))


def test_the_copy_is_a_copy():
    base, control = pair()
    ours = dict(control.named_parameters())
    same = {name for name, p in base.named_parameters() if name in ours and p.equal(ours[name])}
    left = {name.split(".")[0] for name in ours.keys() - same}
    assert left == {"hint", "skips_out", "middle_out"}
    missing = {name.split(".")[0] for name, _ in base.named_parameters() if name not in ours}
    assert missing == {"up_blocks", "norm_out", "conv_out"}
    with torch.no_grad():
        for parameter in control.parameters():
            parameter.add_(1)
    fresh = randomised(UNet(BASE))
    for mine, theirs in zip(base.parameters(), fresh.parameters(), strict=True):
        assert mine.equal(theirs)


def test_what_learns_first_and_what_next():
    """One step: only what leaves the control. Then the hint's last layer and the copy. Then all."""
    base, control = pair()
    model, given_ = Controlled(base, control), inputs()
    optimizer = torch.optim.SGD(control.parameters(), lr=0.01)
    moved = []
    for _ in range(3):
        optimizer.zero_grad()
        model(**given_).square().sum().backward()
        moved.append({n for n, p in control.named_parameters() if p.grad.abs().max() > 1e-12})
        optimizer.step()
    first = {name.split(".")[0] for name in moved[0]}
    assert first == {"skips_out", "middle_out"}
    assert {"hint.conv_out.weight", "encoder.conv_in.weight"} <= moved[1]
    assert "encoder.time_embedding.mix.weight" in moved[1]
    assert "hint.conv_in.weight" not in moved[1]
    assert "hint.conv_in.weight" in moved[2]
    assert all(p.grad is None and not p.requires_grad for p in base.parameters())


@torch.no_grad()
def test_each_skip_and_the_middle_by_hand():
    base, control = pair(trained=True)
    given_ = inputs()
    hint = given_.pop("hint")
    conditions = control.encoder.embed_conditions(**given_)
    x = control.encoder.conv_in(given_["noisy"]) + control.hint(hint)
    seen = [x]
    for block in control.encoder.down_blocks:
        x = block(x, *conditions)
        seen.append(x)
    assert len(seen) == 4
    got = control(**given_, hint=hint)
    for out, skip, answer in zip(control.skips_out, seen, got.skips, strict=True):
        expected = torch.einsum("dc,bcxy->bdxy", out.weight[:, :, 0, 0], skip)
        torch.testing.assert_close(answer, expected + out.bias[:, None, None])
    torch.testing.assert_close(
        got.middle, control.middle_out(control.encoder.middle(x, *conditions))
    )

    theirs = base.encoder.embed_conditions(**given_)
    x, skips = base.encoder.encode(given_["noisy"], *theirs)
    steered = [skip + 0.4 * mine for skip, mine in zip(skips, got.skips)]
    expected = base.decode(base.encoder.middle(x, *theirs) + 0.4 * got.middle, steered, *theirs)
    torch.testing.assert_close(Controlled(base, control, 0.4)(**given_, hint=hint), expected)
    assert torch.equal(Controlled(base, control, 0.0)(**given_, hint=hint), base(**given_))


@pytest.mark.parametrize("hint_widths", [(3,), (3, 4), (3, 4, 5)])
@torch.no_grad()
def test_images_are_conditioned_on_their_own_hint_context_and_time(hint_widths):
    base, control = pair(hint_widths, trained=True)
    model = Controlled(base, control)
    times = 2 ** (len(hint_widths) - 1)
    given_ = inputs((8 * times, 12 * times))
    together = model(**given_)
    for i in range(3):
        alone = {name: value[i : i + 1] for name, value in given_.items()}
        torch.testing.assert_close(model(**alone), together[i : i + 1])
        length = int(alone.pop("mask").sum())  # as if the hidden words were not there
        alone["context"] = alone["context"][:, :length]
        torch.testing.assert_close(model(**alone), together[i : i + 1])
    for name in ("hint", "context", "timesteps"):
        other = model(**{**given_, name: given_[name].flip(0)})
        assert (other - together)[[0, 2]].abs().amax(dim=(1, 2, 3)).min() > 1e-6, name


@torch.no_grad()
@settings(max_examples=20, deadline=None)
@given(
    widths=st.lists(st.integers(1, 5), min_size=1, max_size=4),
    rows=st.integers(1, 3),
    columns=st.integers(1, 3),
)
def test_hint_layer_by_layer(widths, rows, columns):
    layer = randomised(HintEmbedding(2, widths, 3))
    times = 2 ** (len(widths) - 1)
    hint = random(2, 2, rows * times, columns * times)
    x = F.conv2d(hint, layer.conv_in.weight, layer.conv_in.bias, padding=1)
    x = x * x.sigmoid()
    for index, part in enumerate(layer.blocks):
        x = F.conv2d(x, part.weight, part.bias, stride=1 + index % 2, padding=1)
        x = x * x.sigmoid()
    expected = F.conv2d(x, layer.conv_out.weight, layer.conv_out.bias, padding=1)
    torch.testing.assert_close(layer(hint), expected)
    assert expected.shape == (2, 3, rows, columns)
    assert [part.out_channels for part in layer.blocks[1::2]] == widths[1:]


@settings(max_examples=20, deadline=None)
@given(
    channels=st.integers(1, 4),
    outputs=st.integers(1, 4),
    kernel=st.sampled_from([1, 3, 5]),
    rows=st.integers(1, 5),
    columns=st.integers(1, 5),
)
def test_zero_convolution_says_nothing_and_learns(channels, outputs, kernel, rows, columns):
    layer = ZeroConvolution(channels, outputs, kernel).double()
    x, upstream = random(2, channels, rows, columns), random(2, outputs, rows, columns, seed=3)
    said = layer(x)
    assert said.shape == upstream.shape and not said.any()
    (said * upstream).sum().backward()
    torch.testing.assert_close(layer.bias.grad, upstream.sum(dim=(0, 2, 3)))
    middle = layer.weight.grad[:, :, kernel // 2, kernel // 2]
    torch.testing.assert_close(middle, torch.einsum("bdxy,bcxy->dc", upstream, x))


def test_nothing_that_is_added_to_is_changed():
    middle, skips = random(1, 2, 3), [random(1, 4, seed=2), random(1, 5, seed=3)]
    control = Control([random(1, 4, seed=4), random(1, 5, seed=5)], random(1, 2, 3, seed=6))
    before = [x.clone() for x in (middle, *skips, control.middle, *control.skips)]
    x, steered = add_control(middle, skips, control, 2.0)
    after = (middle, *skips, control.middle, *control.skips)
    assert all(x.equal(y) for x, y in zip(before, after))
    torch.testing.assert_close(x, middle + 2 * control.middle)
    assert isinstance(steered, list) and len(steered) == 2


@torch.no_grad()
def test_samplers_and_guidance_take_it_as_any_model():
    base, control = pair(trained=True)
    model, given_ = Controlled(base, control), inputs()
    noisy, _ = given_.pop("noisy"), given_.pop("timesteps")
    empty = {"context": random(1, 7, 5, seed=9), "mask": torch.ones(1, 7, dtype=torch.bool)}
    both = guided(model, empty, 3.0)(noisy, torch.tensor([4, 5, 6]), **given_)
    with_words = model(noisy, torch.tensor([4, 5, 6]), **given_)
    wide = {name: value.expand(3, *value.shape[1:]) for name, value in empty.items()}
    without = model(noisy, torch.tensor([4, 5, 6]), **wide, hint=given_["hint"])
    torch.testing.assert_close(both, without + 3 * (with_words - without))
    steered = guided(model, empty, 3.0)
    images = ddim_sample(steered, cosine_schedule(20), noisy, [15, 5], clamp=1.0, **given_)
    assert images.shape == noisy.shape


def test_what_is_refused():
    base, control = pair((3, 4))
    given_ = inputs((16, 24))
    hint = given_.pop("hint")
    with pytest.raises(ValueError, match="12 x 24, and for images of 8 x 12 it must be 16 x 24"):
        control(**given_, hint=hint[:, :, :12])
    with pytest.raises(ValueError, match="control images have 2 channels, .* takes 1"):
        control(**given_, hint=hint.expand(-1, 2, -1, -1))
    with pytest.raises(ValueError, match="2 control images for 3 images"):
        control(**given_, hint=hint[:2])
    with pytest.raises(ValueError, match="control scale nan is not a finite number"):
        Controlled(base, control, float("nan"))
    other = ControlNet(ControlNetConfig(replace(BASE, widths=(4, 8))))
    with pytest.raises(ValueError, match=r"ControlNet has widths \(4, 8\), but its base \(4, 6\)"):
        Controlled(base, other)
    with pytest.raises(ValueError, match="control for 1 skips, but of 2"):
        add_control(hint, [hint, hint], Control([hint], hint))


def run_shapes() -> None:
    from dataclasses import replace

    import torch

    from scratchmm.diffusion import controlnet, unet

    sizes = {"channels": 2, "widths": (6, 12), "groups": 3, "heads": 3, "context_width": 11}
    base = unet.UNet(replace(unet.tiny_with_context(), **sizes))
    model = controlnet.Controlled(base, controlnet.controlnet_from_unet(base, 1, (5, 9)))
    noisy, context = torch.randn(4, 2, 10, 16), torch.randn(4, 7, 11)
    model(noisy, torch.arange(4), context, hint=torch.randn(4, 1, 20, 32))


def test_shape_comments_are_true() -> None:
    check_shape_comments(run_shapes, "diffusion/controlnet.py")
