"""Colours of one image on another, at every step and in the end; refinement stage by stage."""

import pytest
import torch
from torch.testing import assert_close

from scratchmm.diffusion.ddim import ddim_path, ddim_sample, spaced_timesteps
from scratchmm.diffusion.editing.inpainting import edit, inpaint
from scratchmm.diffusion.editing.style import in_colours_of, match_colours, refine
from scratchmm.diffusion.process import TARGETS, cosine_schedule, q_sample, target_of, x0_and_noise
from shape_comments import check_shape_comments

SCHEDULE = cosine_schedule(40)


def normal(*shape, seed=0):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed)).double()


def knows(image, target):
    """A model that always sees this image behind the noise."""

    def model(x, timesteps, shift=0.0):
        alpha_bar = SCHEDULE.at(timesteps)
        start = (image + shift).expand_as(x)
        noise = x0_and_noise(start, x, alpha_bar, "x0").noise
        return target_of(start, noise, alpha_bar, target)

    return model


def moments(image):
    return torch.std_mean(image, (2, 3), correction=0)


def test_matched_colours_equal_a_loop():
    content, style = normal(2, 3, 5, 4), 3 * normal(2, 3, 7, 6, seed=1) + 2
    found = match_colours(content, style, epsilon=0.0)
    for row in range(2):
        for channel in range(3):
            one, other = content[row, channel].flatten(), style[row, channel].flatten()
            middle, wanted = sum(one) / len(one), sum(other) / len(other)
            spread = (sum((v - middle) ** 2 for v in one) / len(one)) ** 0.5
            goal = (sum((v - wanted) ** 2 for v in other) / len(other)) ** 0.5
            expected = (content[row, channel] - middle) / spread * goal + wanted
            assert_close(found[row, channel], expected)
    one = match_colours(content, style[:1], epsilon=0.0)
    assert_close(one[0], found[0])
    assert_close(match_colours(content, content, epsilon=0.0), content)
    flat = match_colours(torch.ones(1, 3, 4, 4), normal(1, 3, 4, 4).float())
    assert flat.isfinite().all() and (flat.std((2, 3)) < 1e-6).all()


@pytest.mark.parametrize("target", TARGETS)
def test_drawn_in_the_colours_of_another(target):
    content, style = normal(2, 3, 6, 6), 0.2 * normal(1, 3, 5, 5, seed=1) + 0.3
    model = in_colours_of(knows(content, target), SCHEDULE, style, target=target)
    way = spaced_timesteps(40, 5)
    for step in ddim_path(model, SCHEDULE, normal(2, 3, 6, 6, seed=2), way, target=target):
        for found, wanted in zip(moments(step.x0), moments(style), strict=True):
            assert_close(found, wanted.expand(2, 3), rtol=1e-3, atol=1e-4)
    # Where the content was light it is light: each channel is only stretched and moved.
    flat = torch.stack([step.x.flatten(2), content.flatten(2)])  # (2, B, C, H * W)
    flat = flat - flat.mean(-1, keepdim=True)
    assert (torch.cosine_similarity(flat[0], flat[1], dim=-1) > 0.9999).all()
    for sampled in (
        edit(model, SCHEDULE, content, 0.4, normal(2, 3, 6, 6), way, target=target),
        inpaint(
            model, SCHEDULE, content, torch.ones(1, 1, 6, 6).bool(), normal(2, 3, 6, 6), way,
            target=target,
        ),
    ):  # fmt: skip
        assert_close(moments(sampled)[1], moments(style)[1].expand(2, 3), rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("target", TARGETS)
def test_no_share_of_the_style_changes_nothing(target):
    content, x = normal(2, 3, 6, 6), normal(2, 3, 6, 6, seed=3)
    plain, times = knows(content, target), torch.tensor([7, 30])
    same = in_colours_of(plain, SCHEDULE, normal(1, 3, 4, 4), target=target, share=0.0)
    assert_close(same(x, times, shift=0.5), plain(x, times, shift=0.5))
    half = in_colours_of(plain, SCHEDULE, normal(1, 3, 4, 4), target=target, share=0.5)
    whole = in_colours_of(plain, SCHEDULE, normal(1, 3, 4, 4), target=target)
    assert_close(half(x, times), (plain(x, times) + whole(x, times)) / 2)  # all is linear
    clipped = in_colours_of(plain, SCHEDULE, x, target="x0", share=0.0, clamp=0.1)
    assert clipped(x, times).abs().max() <= 0.1


def test_refinement_walks_what_it_says():
    seen = []

    def model(x, timesteps):
        seen.append((len(seen), int(timesteps[0])))
        return 0.3 * x

    noises = normal(3, 2, 4)
    stages = refine(model, SCHEDULE, noises, [4, 10, 20], strength=0.3, target="x0")
    asked = [timestep for _, timestep in seen]
    whole = [spaced_timesteps(40, steps) for steps in (4, 10, 20)]
    assert asked == [*whole[0], *whole[1][-3:], *whole[2][-6:]]
    x = ddim_sample(model, SCHEDULE, noises[0], whole[0], target="x0")
    assert_close(stages[0], x)
    for stage, noise, way in ((1, noises[1], whole[1][-3:]), (2, noises[2], whole[2][-6:])):
        x = q_sample(SCHEDULE, x, torch.full((2,), way[0]), noise)
        x = ddim_sample(model, SCHEDULE, x, way, target="x0")
        assert_close(stages[stage], x)


def test_refusals():
    image = normal(2, 3, 6, 6)
    for style, said in (
        (normal(1, 4, 6, 6), "no colours of"),
        (normal(3, 6, 6), "no colours of"),
        (normal(3, 3, 6, 6), "3 styles for 2"),
    ):
        with pytest.raises(ValueError, match=said):
            match_colours(image, style)
    for share in (-0.1, 1.1, float("nan")):
        with pytest.raises(ValueError, match="between 0 and 1"):
            in_colours_of(knows(image, "x0"), SCHEDULE, image, share=share)
    with pytest.raises(ValueError, match="2 stages and steps for 3"):
        refine(knows(image, "x0"), SCHEDULE, [image] * 2, [1, 2, 3])
    with pytest.raises(ValueError, match="0 stages"):
        refine(knows(image, "x0"), SCHEDULE, [], [])
    with pytest.raises(ValueError, match="strength"):
        refine(knows(image, "x0"), SCHEDULE, [image] * 2, [1, 2], strength=0.0)
    with pytest.raises(ValueError, match="41 steps"):
        refine(knows(image, "x0"), SCHEDULE, [image], [41])


def run_shapes() -> None:
    import torch

    from scratchmm.diffusion import process
    from scratchmm.diffusion.editing import style

    levels, x = process.cosine_schedule(10), torch.randn(2, 3, 6, 8)
    styled = style.in_colours_of(lambda x, timesteps: x, levels, torch.randn(1, 3, 5, 7))
    styled(x, torch.tensor([4, 7]))


def test_shape_comments_are_true() -> None:
    check_shape_comments(run_shapes, "diffusion/editing/style.py")
