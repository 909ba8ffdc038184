"""Inpainting: a Gaussian whose answer is known, what must not change, repeats; and editing."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.testing import assert_close

from scratchmm.diffusion import vae
from scratchmm.diffusion.ddim import ddim_sample, spaced_timesteps
from scratchmm.diffusion.editing import inpainting
from scratchmm.diffusion.editing.inpainting import (
    blend,
    edit,
    edit_path,
    grow_mask,
    inpaint,
    inpaint_path,
    last_of,
    paste,
    resampled,
    shrink_mask,
)
from scratchmm.diffusion.process import TARGETS, cosine_schedule, q_sample, target_of
from shape_comments import check_shape_comments

FIFTY = cosine_schedule(50)


def normal(*shape, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(shape, generator=generator, dtype=torch.float64)


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def hole(batch=1, height=3, width=4):
    mask = torch.zeros(batch, 1, height, width, dtype=torch.bool)
    mask[:, :, 1:, 1:3] = True
    return mask


def curved(x, timesteps, word=1.0):
    """Some model in which every pixel depends on all of its sample."""
    return word * (0.4 * x.sin() + x.mean(dim=(1, 2, 3), keepdim=True)) + timesteps[0] / 2000


# --- the right answer, known --------------------------------------------------------------------


class Correlated:
    """Images 1 x 3 x 4 from a normal distribution whose pixels hang together."""

    def __init__(self):
        rows, columns = torch.meshgrid(torch.arange(3), torch.arange(4), indexing="ij")
        places = torch.stack([rows.flatten(), columns.flatten()], dim=1).double()
        self.covariance = 0.6 * torch.exp(-torch.cdist(places, places) / 3)
        self.mean = torch.linspace(-0.5, 0.7, 12, dtype=torch.float64)

    def noise(self, x, timesteps):
        """The best prediction there is: the noise's expectation, given x."""
        level = FIFTY.at(timesteps)[0]
        spread = level * self.covariance + (1 - level) * torch.eye(12).double()
        away = x.flatten(1) - level.sqrt() * self.mean
        return (1 - level).sqrt() * torch.linalg.solve(spread, away.T).T.view_as(x)

    def given(self, known, mask):
        """Mean and covariance under the mask, where the pixels around it are known."""
        inside, around, cov = mask.flatten(), ~mask.flatten(), self.covariance
        weights = cov[inside][:, around] @ torch.linalg.inv(cov[around][:, around])
        mean = self.mean[inside] + weights @ (known.flatten() - self.mean)[around]
        return mean, cov[inside][:, inside] - weights @ cov[around][:, inside]


def test_the_hole_is_filled_from_the_conditional_distribution():
    """Who does not look around is off by 1.04 in the mean and 0.41 in covariance."""
    data, mask, batch = Correlated(), hole(), 2000
    known = data.mean.view(1, 1, 3, 4) + torch.tensor([1.0, 0.6, 0.8, 1.2]).double()
    mean, covariance = data.given(known, mask)
    errors = []
    for repeats in (1, 4, 12):
        drawn = inpaint(
            data.noise, FIFTY, known.expand(batch, 1, 3, 4), mask, normal(batch, 1, 3, 4),
            spaced_timesteps(50, 10), repeats=repeats, generator=seeded(),
        ).flatten(1)[:, mask.flatten()]  # fmt: skip
        errors.append((drawn.mean(dim=0) - mean).abs().max().item())
    assert (mean - data.mean[mask.flatten()]).abs().max() > 1
    assert errors[0] > 2 * errors[1] and errors[1] > 1.5 * errors[2], errors
    assert errors[0] < 0.45 and errors[2] < 0.1, errors
    assert_close(drawn.T.cov(), covariance, rtol=0, atol=0.12)


# --- what is known and what is not --------------------------------------------------------------


@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize("eta", [0.0, 1.0])
def test_with_all_under_the_mask_it_is_plain_sampling(target, eta):
    """With eta the chance of the known part, which is not used, must come from elsewhere."""
    x, known = normal(2, 3, 4, 5), normal(2, 3, 4, 5, seed=1)
    everything, timesteps = torch.ones(2, 1, 4, 5).bool(), [49, 30, 7, 0]
    options = {"target": target, "clamp": 2.0, "word": 0.7}
    if eta:
        source, drawn = seeded(), []
        for _ in timesteps:  # a number for the step, one for what is known
            drawn.append(torch.randn(x.shape, generator=source, dtype=x.dtype))
            torch.randn(x.shape, generator=source, dtype=x.dtype)
        noises = iter(drawn)
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr("scratchmm.diffusion.ddim.draw_noise", lambda x, generator: next(noises))
            expected = ddim_sample(curved, FIFTY, x, timesteps, eta=eta, **options)
    else:
        expected = ddim_sample(curved, FIFTY, x, timesteps, **options)
    found = inpaint(
        curved, FIFTY, known, everything, x, timesteps, eta=eta, generator=seeded(), **options
    )
    assert_close(found, expected, rtol=0, atol=0)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
@pytest.mark.parametrize("eta", [0.0, 0.5, 1.0])
@pytest.mark.parametrize("repeats", [1, 2])
def test_outside_the_mask_every_bit_stays(dtype, eta, repeats):
    known = normal(2, 3, 3, 4).to(dtype)
    known[:, :, 0, 0] = -0.0  # equal to 0.0, but not the same bits
    x, kept = normal(2, 3, 3, 4, seed=1).to(dtype), known.clone()
    found = inpaint(
        curved, FIFTY, known, hole(), x, [49, 20, 3], eta=eta, repeats=repeats,
        generator=seeded(), final_alpha=0.99,
    )  # fmt: skip
    outside = ~hole().expand_as(known)
    assert found.dtype == dtype
    bits = {2: torch.int16, 4: torch.int32, 8: torch.int64}[dtype.itemsize]
    assert torch.equal(found[outside].view(bits), kept[outside].view(bits))
    assert (found[~outside] != kept[~outside]).all()
    assert torch.equal(known, kept)


def test_the_way_keeps_no_gradients():
    weight = torch.ones(1, dtype=torch.float64, requires_grad=True)
    known = normal(1, 1, 3, 4)
    found = inpaint(curved, FIFTY, known, hole(), normal(1, 1, 3, 4), [9, 4], word=weight)
    assert not found.requires_grad and torch.is_grad_enabled()


def test_each_step_shows_the_known_image_at_its_level():
    """Around the mask x is a mixture of the known image and normal noise of that level."""
    known = torch.full((500, 1, 3, 4), 2.0).double()
    path = inpaint_path(
        lambda x, timesteps: 0 * x, FIFTY, known, hole(), normal(500, 1, 3, 4), [49, 30, 15],
        target="x0", generator=seeded(),
    )  # fmt: skip
    around = ~hole().expand_as(known)
    for step, level in zip(path, [FIFTY.alpha_bar[30], FIFTY.alpha_bar[15], torch.tensor(1.0)]):
        noise = step.x[around] - level.sqrt() * 2.0
        assert_close(noise.mean().item(), 0.0, rtol=0, atol=0.06)
        assert_close(noise.std(), (1 - level).double().sqrt(), rtol=0.05, atol=0)
        assert_close(step.x0, 0 * known)
    assert_close(step.x[~around], 0 * step.x[~around])


def test_blend_is_a_loop_over_samples_and_pixels():
    inside, known, noise = (normal(2, 3, 4, 5, seed=seed) for seed in range(3))
    mask, timesteps = normal(2, 1, 4, 5, seed=3) > 0, torch.tensor([-1, 30])
    found = blend(FIFTY, inside, known, mask, timesteps, noise)
    for b in range(2):
        level = 1.0 if b == 0 else FIFTY.alpha_bar[30].item()
        for y in range(4):
            for x in range(5):
                outside = level**0.5 * known[b, :, y, x] + (1 - level) ** 0.5 * noise[b, :, y, x]
                expected = inside[b, :, y, x] if mask[b, 0, y, x] else outside
                assert_close(found[b, :, y, x], expected)


def test_the_model_sees_what_is_known():
    """A model that is told the start from what it sees around the hole puts it there."""

    def looks(x, timesteps):
        seen = x[..., :1].mean(dim=(1, 2, 3), keepdim=True)  # the first column, which is known
        return (seen / FIFTY.at(timesteps.cpu())[0].sqrt()).expand_as(x)

    mask = torch.zeros(1, 1, 6, 3, dtype=torch.bool)
    mask[..., 2] = True
    known = torch.tensor([-0.7, 0.9]).double().view(2, 1, 1, 1).expand(2, 30, 6, 3)
    found = inpaint(
        looks, FIFTY, known, mask, normal(2, 30, 6, 3), range(49, -1, -1), target="x0",
        generator=seeded(),
    )  # fmt: skip
    assert_close(found, known, rtol=0, atol=0.05)


def test_one_mask_for_all_is_as_many_masks_and_the_seed_decides():
    known, x = normal(3, 2, 3, 4), normal(3, 2, 3, 4, seed=1)

    def drawn(mask, seed):
        return inpaint(curved, FIFTY, known, mask, x, [40, 9], generator=seeded(seed))

    assert_close(drawn(hole(1), 5), drawn(hole(3), 5), rtol=0, atol=0)
    assert (drawn(hole(1), 5) != drawn(hole(1), 6)).any()


def test_masks_of_a_batch_stay_with_their_images():
    known, x = normal(2, 1, 3, 4), normal(2, 1, 3, 4, seed=1)
    masks = torch.stack([hole()[0], ~hole()[0]])
    changed = inpaint(curved, FIFTY, known, masks, x, [40, 9]) != known
    assert torch.equal(changed, masks)


# --- repeats ------------------------------------------------------------------------------------


def published(length, jump, repeats):
    """get_schedule_jump as in RePaint's appendix, with each level of a jump named."""
    left = dict.fromkeys(range(0, length - jump, jump), repeats - 1)
    t, found = length, []
    while t >= 1:
        t -= 1
        found.append(t)
        if left.get(t, 0) > 0:
            left[t] -= 1
            for _ in range(jump):
                t += 1
                found.append(t)
    return [*found, -1]


@given(length=st.integers(2, 40), jump=st.integers(1, 12), repeats=st.integers(1, 5))
@settings(max_examples=80, deadline=None)
def test_jumps_are_where_the_paper_has_them(length, jump, repeats):
    if jump >= length and repeats > 1:
        with pytest.raises(
            ValueError, match=f"^a jump back of {jump} needs more than the {length}"
        ):
            resampled(range(length - 1, -1, -1), repeats, jump)
        return
    found = resampled(range(length - 1, -1, -1), repeats, jump)
    levels = found[:1]
    for now, then in zip(found, found[1:]):
        assert then - now in (-1, jump)
        levels += [then] if then < now else range(now + 1, then + 1)
    assert levels == published(length, jump, repeats)


def test_more_steps_than_weeks_hold_are_counted_before_they_are_listed(monkeypatch):
    with pytest.raises(
        ValueError, match="^3 timesteps 1000000000000 times are 3000000000000, over"
    ):
        resampled([9, 4, 1], repeats=10**12)
    monkeypatch.setattr(inpainting, "MOST_STEPS", 9)
    assert resampled([9, 4, 1], repeats=3)[-1] == -1
    with pytest.raises(ValueError, match="^3 timesteps 4 times are 12, over 9$"):
        resampled([9, 4, 1], repeats=4)


def test_repeats_on_chosen_timesteps():
    assert resampled([9, 4, 1]) == [9, 4, 1, -1]
    assert resampled([9, 4, 1], repeats=3) == [9, 4, 9, 4, 9, 4, 1, 4, 1, 4, 1, -1]
    assert resampled([5], repeats=1, jump=7) == [5, -1]


def test_a_jump_back_brings_the_noise_of_the_later_level():
    """x at 10 goes back to 40: the variance that the schedule has there, the image shrunk."""
    asked = []

    def model(x, timesteps):
        asked.append((timesteps[0].item(), x[~hole().expand_as(x)]))
        return 0 * x

    known = torch.full((4000, 1, 3, 4), 2.0).double()
    x = q_sample(FIFTY, known, torch.full((4000,), 40), normal(4000, 1, 3, 4))
    inpaint(model, FIFTY, known, hole(), x, [40, 10], repeats=2, generator=seeded(), target="x0")
    assert [timestep for timestep, _ in asked] == [40, 10 + 30, 10]
    level = FIFTY.alpha_bar[40]
    for _, seen in asked[:2]:
        assert_close(seen.mean(), 2 * level.sqrt(), rtol=0, atol=0.02)
        assert_close(seen.var(), 1 - level, rtol=0.03, atol=0)


# --- masks --------------------------------------------------------------------------------------


@given(
    rows=st.integers(1, 4), columns=st.integers(1, 5), high=st.integers(1, 4),
    wide=st.integers(1, 3), seed=st.integers(0, 99),
)  # fmt: skip
@settings(max_examples=40, deadline=None)
def test_a_cell_is_known_only_if_all_of_it_is(rows, columns, high, wide, seed):
    mask = normal(2, 1, rows * high, columns * wide, seed=seed) > 0.8
    found = shrink_mask(mask, (rows, columns))
    assert found.shape == (2, 1, rows, columns) and found.dtype == torch.bool
    for b in range(2):
        for r in range(rows):
            for c in range(columns):
                cell = mask[b, 0, r * high : (r + 1) * high, c * wide : (c + 1) * wide]
                assert found[b, 0, r, c] == cell.any()


@pytest.mark.parametrize("pixels", [0, 1, 3])
def test_a_mask_grows_to_all_sides(pixels):
    mask = normal(2, 1, 9, 11) > 1.5
    found = grow_mask(mask, pixels)
    for b in range(2):
        for y in range(9):
            for x in range(11):
                top, left = max(0, y - pixels), max(0, x - pixels)
                near = mask[b, 0, top : y + pixels + 1, left : x + pixels + 1]
                assert found[b, 0, y, x] == near.any()


def test_through_an_autoencoder_the_pixels_around_stay():
    """Latents forget; what is pasted does not. The whole hole is new, though its edge cuts cells."""
    torch.manual_seed(0)
    model = vae.VAE(vae.tiny()).eval()
    image = normal(2, 3, 16, 24).float()
    mask = torch.zeros(1, 1, 16, 24, dtype=torch.bool)
    mask[..., 3:9, 5:10] = True
    with torch.no_grad():
        latents = model.to_latents(image, seeded())
        small = shrink_mask(mask, tuple(latents.shape[-2:]))
        assert small.nonzero()[:, 2:].tolist() == [[y, x] for y in range(3) for x in (1, 2)]
        painted = inpaint(
            curved, FIFTY, latents, small, torch.randn_like(latents), [49, 9], generator=seeded()
        )
        found = paste(model.to_images(painted), image, mask)
    same = found == image
    assert same[~mask.expand_as(same)].all() and not same[mask.expand_as(same)].any()


# --- editing ------------------------------------------------------------------------------------


def test_an_edit_starts_from_the_noised_image():
    image, noise = normal(2, 3, 4, 5), normal(2, 3, 4, 5, seed=1)
    timesteps = spaced_timesteps(50, 10)
    x = q_sample(FIFTY, image, torch.tensor([29, 29]), noise)  # 6 of 10 steps of 5
    expected = ddim_sample(curved, FIFTY, x, timesteps[4:], clamp=1.0, word=0.3)
    found = edit(curved, FIFTY, image, 0.6, noise, timesteps, clamp=1.0, word=0.3)
    assert_close(found, expected, rtol=0, atol=0)
    assert len(list(edit_path(curved, FIFTY, image, 0.6, noise, timesteps, word=0.3))) == 6


@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize("strength", [0.05, 0.5, 1.0])
def test_who_knows_the_image_gives_it_back(target, strength):
    image, noise = normal(2, 3, 4, 5), normal(2, 3, 4, 5, seed=1)

    def knows(x, timesteps):
        return target_of(image, noise, FIFTY.at(timesteps), target)

    timesteps = spaced_timesteps(50, 10)
    found = edit(knows, FIFTY, image, strength, noise, timesteps, target=target)
    assert_close(found, image)


def test_the_stronger_the_less_is_left():
    """For the Gaussian: how far the result still goes along with the image it came from."""
    data, image, noise = Correlated(), 3 * normal(800, 1, 3, 4), normal(800, 1, 3, 4, seed=1)
    left = []
    for strength in (0.2, 0.5, 0.8, 1.0):
        found = edit(data.noise, FIFTY, image, strength, noise, spaced_timesteps(50, 10))
        left.append(torch.corrcoef(torch.stack([found.flatten(), image.flatten()]))[0, 1].item())
    assert left == sorted(left, reverse=True) and left[0] > 0.8 and left[-1] < 0.1, left


@given(length=st.integers(1, 60), strength=st.floats(0.001, 1.0))
@settings(max_examples=60)
def test_a_strength_is_a_share_of_the_timesteps(length, strength):
    timesteps = list(range(length - 1, -1, -1))
    found = last_of(timesteps, strength)
    assert found == timesteps[length - len(found) :] and len(found) >= 1
    assert abs(len(found) - strength * length) <= 0.5 or len(found) == 1
    assert last_of(timesteps, 1.0) == last_of(timesteps, 1) == timesteps


# --- refusals -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("mask", "sentence"),
    [
        (torch.ones(1, 1, 4, 3).bool(), "^the mask is 4 x 3, but the image 3 x 4$"),
        (torch.ones(3, 1, 3, 4).bool(), "^there are 3 masks for 2 images$"),
        (
            torch.ones(1, 1, 3, 4),
            r"^a mask is bool \(B, 1, height, width\), not torch.float32 \(1, ",
        ),
        (torch.ones(2, 3, 4).bool(), r"^a mask is bool .*, not torch.bool \(2, 3, 4\)$"),
        (torch.ones(2, 2, 3, 4).bool(), r"^a mask is bool .*, not torch.bool \(2, 2, 3, 4\)$"),
        (torch.zeros(1, 1, 3, 4).bool(), "^mask 0 of 1 is empty: it leaves nothing to draw$"),
        (torch.stack([hole()[0], ~hole()[0] & hole()[0]]), "^mask 1 of 2 is empty"),
    ],
)
def test_masks_that_are_none(mask, sentence):
    known = torch.zeros(2, 2, 3, 4)
    with pytest.raises(ValueError, match=sentence):
        inpaint(curved, FIFTY, known, mask, known, [5])
    with pytest.raises(ValueError, match=sentence):
        paste(known, known, mask)


def test_refusals():
    x = torch.zeros(2, 1, 3, 4)
    with pytest.raises(
        ValueError, match=r"^the noise is \(2, 1, 3, 4\), but what is known \(1, 1, 3"
    ):
        inpaint(curved, FIFTY, x[:1], hole(), x, [5])
    with pytest.raises(
        ValueError, match=r"^generated is \(1, 1, 3, 4\), but the original \(2, 1, 3"
    ):
        paste(x[:1], x, hole())
    with pytest.raises(ValueError, match=r"^the noise is \(1, 1, 3, 4\), the image \(2, 1, 3, 4\)"):
        edit(curved, FIFTY, x, 0.5, x[:1], [5])
    for strength in (0, -0.1, 1.01, float("nan"), "0.5", True):
        with pytest.raises(
            ValueError, match=f"^strength {strength!r} is not above 0 and at most 1"
        ):
            edit(curved, FIFTY, x, strength, x, [5])
    for number in (0, -1, 1.5, True):
        with pytest.raises(ValueError, match=f"^repeats is {number}: it must be a whole number"):
            inpaint(curved, FIFTY, x, hole(), x, [5], repeats=number)
        with pytest.raises(ValueError, match=f"^jump is {number}: it must be a whole number"):
            inpaint(curved, FIFTY, x, hole(), x, [5], jump=number)
    with pytest.raises(ValueError, match="^timesteps fall, but 5 comes after 5$"):
        inpaint(curved, FIFTY, x, hole(), x, [5, 5])
    with pytest.raises(ValueError, match="^a mask of 3 x 4 pixels does not fit 2 x 4 cells$"):
        shrink_mask(hole(), (2, 4))
    with pytest.raises(ValueError, match="^a mask cannot grow by -1 pixels$"):
        grow_mask(hole(), -1)


def run_shapes() -> None:
    import torch

    from scratchmm.diffusion import process
    from scratchmm.diffusion.editing import inpainting, relevance

    levels, x = process.cosine_schedule(7), torch.randn(2, 3, 8, 12)
    mask = torch.zeros(2, 1, 8, 12, dtype=torch.bool)
    mask[..., 3:6, 4:9] = True
    inpainting.inpaint(lambda x, timesteps: x, levels, x, mask, x, [6, 3], repeats=2)
    inpainting.shrink_mask(mask, (4, 3))
    heat = relevance.relevance_by_occlusion(lambda x: x.mean(dim=(1, 2, 3)), x[0], patch=3)
    relevance.mask_of(heat.abs())


def test_shape_comments_are_true() -> None:
    check_shape_comments(run_shapes, "diffusion/editing/inpainting.py")
