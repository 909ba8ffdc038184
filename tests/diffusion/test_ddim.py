"""DDIM: timesteps, single steps by hand, the two ends of eta, the way back, and diffusers."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.testing import assert_close

from scratchmm.diffusion import ddim, ddpm, process
from scratchmm.diffusion.process import (
    Schedule,
    cosine_schedule,
    linear_schedule,
    mix,
    scaled_linear_schedule,
)
from shape_comments import check_shape_comments

EXACT = {"rtol": 0, "atol": 1e-10}
LINEAR = linear_schedule()
PREDICTION = {"noise": "epsilon", "x0": "sample", "velocity": "v_prediction"}


def normal(*shape, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(shape, generator=generator, dtype=torch.float64)


def at(timestep, batch=2):
    return torch.full((batch,), timestep)


def curved(x, timesteps):
    """Some model that depends on everything."""
    return 0.4 * x.sin() + timesteps.reshape(-1, *[1] * (x.ndim - 1)) / 2000


# --- timesteps ----------------------------------------------------------------------------------


@given(length=st.integers(1, 300), data=st.data(), spacing=st.sampled_from(ddim.SPACINGS))
@settings(max_examples=60)
def test_timesteps_fall_within_the_schedule(length, data, spacing):
    steps = data.draw(st.integers(1, length))
    found = ddim.spaced_timesteps(length, steps, spacing)
    assert len(set(found)) == len(found) == steps
    assert found == sorted(found, reverse=True) and 0 <= found[-1] and found[0] < length
    if spacing == "trailing":
        assert found[0] == length - 1
    if spacing == "leading" or (spacing == "linspace" and steps > 1):
        assert found[-1] == 0
    if steps == length:
        assert found == list(range(length))[::-1]


@pytest.mark.parametrize("spacing", ddim.SPACINGS)
@pytest.mark.parametrize("steps", [1, 3, 7, 20, 50, 333, 1000])
def test_timesteps_equal_diffusers(spacing, steps):
    diffusers = pytest.importorskip("diffusers")
    scheduler = diffusers.DDIMScheduler(timestep_spacing=spacing)
    scheduler.set_timesteps(steps)
    assert ddim.spaced_timesteps(1000, steps, spacing) == scheduler.timesteps.tolist()
    if spacing == "leading" and steps < 1000:
        scheduler = diffusers.DDIMScheduler(timestep_spacing=spacing, steps_offset=1)
        scheduler.set_timesteps(steps)
        assert ddim.spaced_timesteps(1000, steps, "leading", 1) == scheduler.timesteps.tolist()


# --- steps --------------------------------------------------------------------------------------


@pytest.mark.parametrize("target", process.TARGETS)
def test_who_knows_the_start_and_the_noise_walks_exactly(target):
    """Without chance, x stays mix(start, noise) at every level, whatever steps are taken."""
    schedule, start, noise = cosine_schedule(40), normal(2, 3), normal(2, 3, seed=1)

    def knows(x, timesteps):
        return process.target_of(start, noise, schedule.at(timesteps), target)

    timesteps = [39, 38, 20, 3]
    x = process.q_sample(schedule, start, at(39), noise)
    path = list(ddim.ddim_path(knows, schedule, x, timesteps, target=target))
    for before, step in zip([38, 20, 3], path):
        assert_close(step.x, process.q_sample(schedule, start, at(before), noise))
        assert_close(step.x0, start)
    assert_close(path[-1].x, start)
    assert_close(ddim.ddim_sample(knows, schedule, x, timesteps, target=target), start)


@pytest.mark.parametrize(("now", "before"), [(9, 8), (7, 2), (4, 0), (0, -1), (6, -1)])
def test_with_eta_1_it_is_the_posterior(now, before):
    schedule, x, predicted = cosine_schedule(10), normal(2, 3), normal(2, 3, seed=1)
    noise, nothing = normal(2, 3, seed=2), torch.zeros(2, 3).double()
    times, previous = at(now), at(before)
    for given_noise in (noise, nothing):
        found = ddim.ddim_step(schedule, predicted, x, times, previous, given_noise, eta=1.0)
        expected = ddpm.ancestral_step(
            schedule, predicted, x, times, given_noise, previous=previous
        )
        assert_close(found.x, expected.x)
        assert_close(found.x0, expected.x0)


def test_with_eta_1_it_samples_as_ddpm_does():
    schedule, x = cosine_schedule(30), normal(2, 3)
    one = ddim.ddim_sample(
        curved, schedule, x, range(29, -1, -1), eta=1.0, generator=torch.Generator().manual_seed(4)
    )
    other = ddpm.ancestral_sample(curved, schedule, x, generator=torch.Generator().manual_seed(4))
    assert_close(one, other)


@given(eta=st.floats(0, 1), seed=st.integers(0, 9))
@settings(max_examples=30, deadline=None)
def test_any_eta_keeps_the_level_of_noise(eta, seed):
    """What is not the start has a variance of 1 - alpha_bar, from the old noise and the new."""
    schedule, one, none = cosine_schedule(10), torch.ones(1).double(), torch.zeros(1).double()
    times, previous = torch.tensor([seed]), torch.tensor([seed // 2 - (seed == 0)])
    old = ddim.ddim_step(schedule, one, mix(none, one, schedule.at(times)), times, previous, none,
                         eta=eta)  # fmt: skip
    new = ddim.ddim_step(schedule, none, none, times, previous, one, eta=eta)
    variance = old.x**2 + new.x**2
    assert_close(variance, 1 - schedule.at(previous, final_alpha=1.0), rtol=0, atol=1e-12)
    level = ddpm.posterior(schedule, one, one, times, previous).variance
    assert_close(new.x**2, eta**2 * level, rtol=1e-9, atol=1e-12)


def test_clipping_follows_through_unless_told():
    schedule, x = cosine_schedule(10), 3 * normal(2, 3)
    times, before = at(7), at(4)
    step = ddim.ddim_step(schedule, x, x, times, before, target="x0", clamp=1.0)
    assert_close(step.x0, x.clamp(-1, 1))
    noise = (x - 0.0 - schedule.alpha_bar[7].sqrt() * step.x0) / (1 - schedule.alpha_bar[7]).sqrt()
    assert_close(step.x, process.q_sample(schedule, step.x0, before, noise))
    left = ddim.ddim_step(schedule, x, x, times, before, target="x0", clamp=1.0, follow_clamp=False)
    noise = (x - schedule.alpha_bar[7].sqrt() * x) / (1 - schedule.alpha_bar[7]).sqrt()
    assert_close(left.x, process.q_sample(schedule, left.x0, before, noise))


def test_chance_is_drawn_only_with_eta_and_the_seed_decides():
    schedule, x = cosine_schedule(20), normal(2, 3)

    def draw(seed, eta):
        generator = torch.Generator().manual_seed(seed)
        return ddim.ddim_sample(curved, schedule, x, [19, 9, 4], eta=eta, generator=generator)

    assert_close(draw(1, 0.0), draw(2, 0.0))
    assert_close(draw(1, 0.5), draw(1, 0.5))
    assert (draw(1, 0.5) != draw(2, 0.5)).any()


def test_the_model_is_asked_at_the_timesteps_with_its_condition():
    asked = []

    def model(x, timesteps, word):
        asked.append((timesteps.tolist(), word))
        return x

    ddim.ddim_sample(model, cosine_schedule(10), torch.ones(2, 1), [8, 5, 1], word="star")
    ddim.ddim_invert(model, cosine_schedule(10), torch.ones(2, 1), [8, 5, 1], word="star")
    assert asked == [([t, t], "star") for t in (8, 5, 1, 1, 5, 8)]


@pytest.mark.parametrize("walk", [ddim.ddim_sample, ddim.ddim_invert])
def test_the_way_keeps_no_gradients(walk):
    """Or every step of the model would stay in memory until the last."""
    weight = torch.ones(3, dtype=torch.float64, requires_grad=True)

    def model(x, timesteps):
        assert not torch.is_grad_enabled()
        return weight * x

    assert not walk(model, cosine_schedule(10), normal(2, 3), [8, 5, 1]).requires_grad
    assert torch.is_grad_enabled()


# --- the way back -------------------------------------------------------------------------------


@pytest.mark.parametrize("final_alpha", [1.0, 0.999])
def test_a_model_that_says_the_same_everywhere_is_inverted_exactly(final_alpha):
    schedule, start = cosine_schedule(50), normal(2, 3)

    def model(x, timesteps):
        return torch.cos(timesteps.double())[:, None] * normal(2, 3, seed=7)

    options = {"final_alpha": final_alpha}
    timesteps = ddim.spaced_timesteps(50, 12)[1:]
    noise = ddim.ddim_invert(model, schedule, start, timesteps, **options)
    assert_close(ddim.ddim_sample(model, schedule, noise, timesteps, **options), start)


def test_a_linear_model_is_inverted_the_better_the_more_steps():
    """The best model of data ~ N(0, 4): its error falls in proportion to the steps' length."""
    schedule, start = cosine_schedule(800), normal(5, 3)

    def best(x, timesteps):
        level = schedule.at(timesteps)[:, None]
        return x * (1 - level).sqrt() / (4 * level + 1 - level)

    errors = []
    for steps in (25, 100, 400):
        timesteps = ddim.spaced_timesteps(800, steps, "leading")
        noise = ddim.ddim_invert(best, schedule, start, timesteps)
        back = ddim.ddim_sample(best, schedule, noise, timesteps)
        errors.append(((back - start).norm() / start.norm()).item())
    assert errors[0] > 3 * errors[1] > 9 * errors[2] and errors[2] < 0.02
    assert_close(noise.norm() / start.norm(), torch.tensor(0.5).double(), rtol=0.02, atol=0)


def test_an_inverse_step_undoes_a_step_with_the_same_prediction():
    schedule, x, predicted = cosine_schedule(10), normal(2, 3), normal(2, 3, seed=1)
    for now, before in ((9, 4), (3, 2), (5, -1), (0, -1)):
        step = ddim.ddim_step(schedule, predicted, x, at(now), at(before))
        back = ddim.ddim_inverse_step(schedule, predicted, step.x, at(before), at(now))
        assert_close(back.x, x)
        assert_close(back.x0, step.x0)


# --- as published -------------------------------------------------------------------------------


def published(kind="DDIMScheduler", first=False, schedule=LINEAR, **options):
    """diffusers' scheduler with our schedule in float64."""
    diffusers = pytest.importorskip("diffusers")
    scheduler = getattr(diffusers, kind)(set_alpha_to_one=not first, **options)
    scheduler.alphas_cumprod = schedule.alpha_bar
    end = schedule.alpha_bar[0] if first else torch.tensor(1.0, dtype=torch.float64)
    if kind == "DDIMScheduler":
        scheduler.final_alpha_cumprod = end
    else:
        scheduler.initial_alpha_cumprod = end
    return scheduler


@pytest.mark.parametrize("target", process.TARGETS)
@pytest.mark.parametrize("eta", [0.0, 0.3, 1.0])
@pytest.mark.parametrize("clamp", [None, 0.7])
@pytest.mark.parametrize("follow", [True, False])
@pytest.mark.parametrize(("spacing", "offset"), [("trailing", 0), ("leading", 0), ("leading", 1)])
@pytest.mark.parametrize("first", [False, True])
def test_steps_equal_diffusers(target, eta, clamp, follow, spacing, offset, first):
    scheduler = published(
        first=first,
        prediction_type=PREDICTION[target],
        timestep_spacing=spacing,
        steps_offset=offset,
        clip_sample=clamp is not None,
        clip_sample_range=clamp,
    )
    scheduler.set_timesteps(20)
    timesteps = ddim.spaced_timesteps(1000, 20, spacing, offset)
    x, noise = normal(2, 3, 4), normal(2, 3, 4, seed=2)
    final_alpha = LINEAR.alpha_bar[0].item() if first else 1.0
    for place in (0, 1, 11, 19):
        now, before = timesteps[place], [*timesteps, -1][place + 1]
        predicted = normal(2, 3, 4, seed=place)
        expected = scheduler.step(
            predicted, now, x, eta, use_clipped_model_output=follow, variance_noise=noise
        )
        found = ddim.ddim_step(
            LINEAR, predicted, x, at(now), at(before), noise if eta else None, target=target,
            eta=eta, clamp=clamp, follow_clamp=follow, final_alpha=final_alpha,
        )  # fmt: skip
        assert_close(found.x0, expected.pred_original_sample, **EXACT)
        assert_close(found.x, expected.prev_sample, **EXACT)


@pytest.mark.parametrize("target", process.TARGETS)
def test_whole_loops_equal_diffusers(target):
    """As Stable Diffusion is sampled and inverted: scaled betas, offset 1, alpha_bar[0] at the end."""
    schedule = scaled_linear_schedule()
    options = {
        "first": True,
        "schedule": schedule,
        "clip_sample": False,
        "prediction_type": PREDICTION[target],
        "steps_offset": 1,
    }
    ours = {"target": target, "final_alpha": schedule.alpha_bar[0].item()}
    timesteps = ddim.spaced_timesteps(1000, 50, "leading", offset=1)
    x = expected = normal(1, 2, 3)
    for kind, walk in (
        ("DDIMScheduler", ddim.ddim_sample),
        ("DDIMInverseScheduler", ddim.ddim_invert),
    ):
        scheduler = published(kind, **options)
        scheduler.set_timesteps(50)
        for timestep in scheduler.timesteps:
            predicted = curved(expected, timestep[None])
            expected = scheduler.step(predicted, timestep, expected).prev_sample
        x = walk(curved, schedule, x, timesteps, **ours)
        assert_close(x, expected, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("target", process.TARGETS)
@pytest.mark.parametrize("spacing", ["leading", "trailing"])
@pytest.mark.parametrize("first", [False, True])
def test_inverse_steps_equal_diffusers(target, spacing, first):
    scheduler = published(
        "DDIMInverseScheduler",
        first,
        prediction_type=PREDICTION[target],
        timestep_spacing=spacing,
        clip_sample=False,
    )
    scheduler.set_timesteps(20)
    rising = ddim.spaced_timesteps(1000, 20, spacing)[::-1]
    assert rising == scheduler.timesteps.tolist()
    final_alpha = LINEAR.alpha_bar[0].item() if first else 1.0
    x, predicted = normal(2, 3, 4), normal(2, 3, 4, seed=1)
    for place in (0, 1, 11, 19):
        now, later = [-1, *rising][place], rising[place]
        # A predicted start says nothing of the noise where there is none; with the first level at
        # both ends the noise is a division by next to nothing.
        if target == "x0" and now == -1 and not first:
            continue
        found = ddim.ddim_inverse_step(
            LINEAR, predicted, x, at(now), at(later), target=target, final_alpha=final_alpha
        )
        expected = scheduler.step(predicted, later, x)
        assert_close(found.x0, expected.pred_original_sample, **EXACT)
        assert_close(found.x, expected.prev_sample, **EXACT)


# --- refusals -----------------------------------------------------------------------------------


@pytest.mark.parametrize("steps", [0, -1, 1001, 2.0, True])
def test_no_more_steps_than_the_schedule_has(steps):
    with pytest.raises(ValueError, match=f"^{steps} steps are not between 1 and the 1000 of"):
        ddim.spaced_timesteps(1000, steps)


def test_refusals():
    schedule, x, times = cosine_schedule(10), torch.zeros(2, 3), at(5)
    with pytest.raises(ValueError, match="^spacing 'even' is none of trailing, leading, linspace$"):
        ddim.spaced_timesteps(10, 5, "even")
    with pytest.raises(ValueError, match="^timesteps 1 to 10 are outside of 0 to 9$"):
        ddim.spaced_timesteps(10, 10, "leading", offset=1)
    with pytest.raises(
        ValueError, match="^an offset of 1 goes with leading timesteps, not trailing"
    ):
        ddim.spaced_timesteps(10, 5, offset=1)
    for eta in (-0.1, 1.5, float("nan")):
        with pytest.raises(ValueError, match=f"^eta {eta} is not between 0 and 1$"):
            ddim.ddim_step(schedule, x, x, times, times - 1, x, eta=eta)
    with pytest.raises(ValueError, match="^eta 0.5 needs noise to draw from$"):
        ddim.ddim_step(schedule, x, x, times, times - 1, eta=0.5)
    for final_alpha in (0.0, 1.1):
        with pytest.raises(ValueError, match=f"^final_alpha {final_alpha} is not above 0"):
            ddim.ddim_step(schedule, x, x, times, times - 1, final_alpha=final_alpha)
    with pytest.raises(ValueError, match=r"^previous \[5, 5\] is not before \[5, 5\]$"):
        ddim.ddim_step(schedule, x, x, times, times)
    with pytest.raises(ValueError, match=r"^later \[4, 4\] is not after \[5, 5\]$"):
        ddim.ddim_inverse_step(schedule, x, x, times, times - 1)
    with pytest.raises(ValueError, match="^a predicted x0 determines no noise in a clean"):
        ddim.ddim_invert(curved, schedule, x, [5], target="x0")
    for walk in (ddim.ddim_sample, ddim.ddim_invert):
        with pytest.raises(ValueError, match="^there are 0 timesteps to sample at"):
            walk(curved, schedule, x, [])
        with pytest.raises(ValueError, match="^timesteps fall, but 5 comes after 5$"):
            walk(curved, schedule, x, [7, 5, 5])
        with pytest.raises(ValueError, match="^timestep 10 is outside of -?[01] to 9$"):
            walk(curved, schedule, x, [10, 5])
    with pytest.raises(ValueError, match="^timestep -2 is outside of"):
        ddim.ddim_sample(curved, schedule, x, [5, -2])


def test_an_odd_schedule_is_walked_too():
    schedule = Schedule(torch.tensor([0.5], dtype=torch.float64))
    x = normal(2, 3)
    found = ddim.ddim_sample(lambda x, timesteps: 0 * x, schedule, x, [0])
    assert_close(found, x / 0.5**0.5)


def run_shapes() -> None:
    import torch

    from scratchmm.diffusion import ddim, ddpm, guidance, process

    levels, x = process.cosine_schedule(7), torch.randn(2, 3, 5)
    words = {"words": torch.randn(2, 4)}
    dropped = guidance.prompt_dropout(words, {"words": torch.zeros(1, 4)}, 0.5)
    model = guidance.guided(lambda x, timesteps, words: x, {"words": torch.zeros(1, 4)}, scale=3)
    for target in process.TARGETS:
        process.diffusion_loss(model, levels, x, target=target, **dropped)
        ddim.ddim_sample(model, levels, x, [6, 2], eta=0.5, target=target, **words)
    ddpm.ancestral_sample(model, levels, x, **words)
    ddim.ddim_invert(model, levels, x, [6, 2], **words)


def test_shape_comments_are_true() -> None:
    check_shape_comments(run_shapes, "diffusion/ddim.py")
