"""DDPM against explicit Gaussians, against a loop of single steps, and against diffusers."""

import math

import pytest
import torch
from torch.testing import assert_close

from scratchmm.diffusion import ddpm, process
from scratchmm.diffusion.process import (
    Schedule,
    cosine_schedule,
    linear_schedule,
    scaled_linear_schedule,
)
from shape_comments import check_shape_comments

EXACT = {"rtol": 0, "atol": 1e-10}
SCHEDULES = {
    "linear": linear_schedule(),
    "scaled_linear": scaled_linear_schedule(1000, 1e-4, 0.02),
    "squaredcos_cap_v2": cosine_schedule(),
}
PREDICTION = {"noise": "epsilon", "x0": "sample", "velocity": "v_prediction"}


def normal(*shape, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(shape, generator=generator, dtype=torch.float64)


def published(name="linear", **options):
    """diffusers' DDPM with our schedule in float64: its own is float32, and loses digits."""
    diffusers = pytest.importorskip("diffusers")
    scheduler = diffusers.DDPMScheduler(beta_schedule=name, **options)
    assert_close(scheduler.alphas_cumprod.double(), SCHEDULES[name].alpha_bar, rtol=1e-4, atol=1e-6)
    scheduler.alphas_cumprod = SCHEDULES[name].alpha_bar
    scheduler.one = torch.tensor(1.0, dtype=torch.float64)
    return scheduler


# --- backwards ----------------------------------------------------------------------------------


@pytest.mark.parametrize(("now", "before"), [(8, 7), (3, 2), (9, 0), (6, 2), (0, -1), (5, -1)])
def test_the_posterior_is_bayes_rule_for_gaussians(now, before):
    """q(x_s | x_t, start) from q(x_s | start) and q(x_t | x_s), by adding their precisions."""
    schedule = cosine_schedule(10)
    level = {timestep: schedule.alpha_bar[timestep].item() for timestep in (now, before)}
    level |= {-1: 1.0}
    start, x = 0.7, -1.3
    variance = 1 - level[before] or 1e-30  # nearly certain at -1
    mean = math.sqrt(level[before]) * start
    kept = level[now] / level[before]  # x_t = sqrt(kept) x_s + sqrt(1 - kept) noise
    precision = 1 / variance + kept / (1 - kept)
    expected = (mean / variance + math.sqrt(kept) * x / (1 - kept)) / precision
    found = ddpm.posterior(
        schedule, *torch.tensor([[start], [x]]).double(), *torch.tensor([[now], [before]])
    )
    assert found.mean.item() == pytest.approx(expected)
    assert found.variance.item() == pytest.approx(1 / precision, rel=1e-9, abs=1e-20)


def test_the_posterior_at_the_first_timestep_is_the_start_itself():
    for schedule in SCHEDULES.values():
        found = ddpm.posterior(schedule, normal(2, 3), normal(2, 3, seed=1), torch.zeros(2).long())
        assert (found.variance == 0).all()
        assert_close(found.mean, normal(2, 3), rtol=0, atol=1e-12)


def test_forwards_and_back_by_the_posterior_keeps_the_distribution():
    """x_t from the start, then x_s from the posterior, is as x_s from the start: mean, variance."""
    schedule = cosine_schedule(12)
    times = torch.arange(1, 12)
    ones, zeros = torch.ones(11).double(), torch.zeros(11).double()
    of_start = ddpm.posterior(schedule, ones, zeros, times).mean
    of_x = ddpm.posterior(schedule, zeros, ones, times).mean
    variance = ddpm.posterior(schedule, ones, ones, times).variance
    now, before = schedule.at(times), schedule.at(times - 1)
    assert_close(of_start + of_x * now.sqrt(), before.sqrt())
    assert_close(of_x**2 * (1 - now) + variance, 1 - before)


@pytest.mark.parametrize("variance", ddpm.VARIANCES)
def test_no_noise_at_the_last_step_and_some_before(variance):
    schedule, x, huge = cosine_schedule(6), normal(2, 3), torch.full((2, 3), 1e6).double()
    options = {"variance": variance, "target": "x0"}
    last = ddpm.ancestral_step(schedule, x / 2, x, torch.zeros(2).long(), huge, **options)
    assert_close(last.x, x / 2)
    assert_close(last.x0, x / 2)
    first = ddpm.ancestral_step(schedule, x / 2, x, torch.ones(2).long(), huge, **options)
    assert first.x.abs().min() > 1e3


def test_the_larger_variance_is_beta():
    schedule, x, ones = cosine_schedule(10), torch.zeros(9, 1).double(), torch.ones(9, 1).double()
    times = torch.arange(1, 10)
    found = ddpm.ancestral_step(schedule, x, x, times, ones, variance="beta", target="x0").x
    assert_close(found[:, 0] ** 2, schedule.betas[1:])


def test_sampling_a_known_gaussian():
    """With the best model of data ~ N(2, 0.25), samples are N(2, 0.25) again."""
    schedule = cosine_schedule(100)
    asked = []

    def best(x, timesteps):
        asked.append(timesteps.tolist())
        level = schedule.at(timesteps)[:, None]
        gain = 0.25 * level.sqrt() / (0.25 * level + 1 - level)
        return 2 + gain * (x - 2 * level.sqrt())

    noise = normal(2000, 1)
    for variance, margin in (("posterior", 0.04), ("beta", 0.04)):
        generator = torch.Generator().manual_seed(5)
        options = {"target": "x0", "variance": variance, "generator": generator}
        found = ddpm.ancestral_sample(best, schedule, noise, **options)
        assert found.mean().item() == pytest.approx(2, abs=margin)
        assert found.std().item() == pytest.approx(0.5, abs=margin)
    assert asked[:100] == [[timestep] * 2000 for timestep in range(99, -1, -1)]


def test_the_way_keeps_no_gradients():
    weight = torch.ones(3, dtype=torch.float64, requires_grad=True)

    def model(x, timesteps):
        assert not torch.is_grad_enabled()
        return weight * x

    sample = ddpm.ancestral_sample(model, cosine_schedule(4), normal(2, 3))
    assert not sample.requires_grad and torch.is_grad_enabled()


def test_the_path_ends_in_the_sample_and_the_seed_decides():
    def model(x, timesteps, word):
        return 0.1 * x + word

    def draw(seed):
        generator = torch.Generator().manual_seed(seed)
        options = {"generator": generator, "clamp": 1.0, "word": torch.ones(2, 1)}
        return list(ddpm.ancestral_path(model, cosine_schedule(8), torch.ones(2, 3), **options))

    path = draw(1)
    assert len(path) == 8 and not path[-1].x.requires_grad
    assert max(step.x0.abs().max() for step in path) <= 1
    generator = torch.Generator().manual_seed(1)
    same = ddpm.ancestral_sample(
        model, cosine_schedule(8), torch.ones(2, 3), generator=generator, clamp=1.0, word=1.0
    )
    assert_close(path[-1].x, same)
    assert (path[-1].x == path[-1].x0).all()
    assert (draw(2)[-1].x != path[-1].x).any()


# --- as published -------------------------------------------------------------------------------


def check_step(ours, theirs, **options):
    assert_close(ours.x0, theirs.pred_original_sample, **EXACT)
    assert_close(ours.x, theirs.prev_sample, **EXACT)


@pytest.mark.parametrize("name", SCHEDULES)
@pytest.mark.parametrize("target", process.TARGETS)
@pytest.mark.parametrize(("variance", "theirs"), [("posterior", "small"), ("beta", "large")])
@pytest.mark.parametrize("clamp", [None, 0.8])
def test_steps_equal_diffusers(name, target, variance, theirs, clamp):
    scheduler = published(
        name,
        variance_type=f"fixed_{theirs}",
        prediction_type=PREDICTION[target],
        clip_sample=clamp is not None,
        clip_sample_range=clamp,
    )
    for count, gap in ((1000, 1), (20, 50)):
        scheduler.set_timesteps(count)
        for timestep in (scheduler.timesteps[i].item() for i in (0, 1, count // 2, -2, -1)):
            x, predicted = normal(2, 3, 4), normal(2, 3, 4, seed=1)
            generator = torch.Generator().manual_seed(2)
            expected = scheduler.step(predicted, timestep, x, generator=generator)
            noise = ddpm.draw_noise(x, torch.Generator().manual_seed(2))
            times = torch.tensor([timestep, timestep])
            found = ddpm.ancestral_step(
                SCHEDULES[name], predicted, x, times, noise, target=target, variance=variance,
                clamp=clamp, previous=(times - gap).clamp(min=-1),
            )  # fmt: skip
            check_step(found, expected)


@pytest.mark.parametrize("target", process.TARGETS)
def test_a_whole_loop_equals_diffusers(target):
    scheduler = published(prediction_type=PREDICTION[target], clip_sample=False)
    x = expected = normal(1, 2, 3)

    def model(x, timesteps):
        return 0.4 * x.sin() + timesteps[:, None, None] / 2000

    generator = torch.Generator().manual_seed(3)
    for timestep in scheduler.timesteps:
        predicted = model(expected, timestep[None])
        expected = scheduler.step(predicted, timestep, expected, generator).prev_sample
        if timestep == 1:  # at the very end, diffusers draws no noise at all, we draw it times 0
            last = expected
    path = ddpm.ancestral_path(
        model, SCHEDULES["linear"], x, generator=torch.Generator().manual_seed(3), target=target
    )
    steps = list(path)
    assert_close(steps[-2].x, last, rtol=1e-9, atol=1e-9)
    assert_close(steps[-1].x, expected, rtol=1e-9, atol=1e-9)


def test_noising_and_velocity_equal_diffusers():
    scheduler, times = published(), torch.tensor([0, 999, 500])
    start, noise = normal(3, 2, 4), normal(3, 2, 4, seed=1)
    schedule = SCHEDULES["linear"]
    found = process.q_sample(schedule, start, times, noise)
    assert_close(found, scheduler.add_noise(start, noise, times), **EXACT)
    velocity = process.target_of(start, noise, schedule.at(times), "velocity")
    assert_close(velocity, scheduler.get_velocity(start, noise, times), **EXACT)


# --- refusals -----------------------------------------------------------------------------------


def test_refusals():
    schedule, x = cosine_schedule(10), torch.zeros(2, 3)
    for wrong in (-1, 10):
        with pytest.raises(ValueError, match=f"^timestep {wrong} is outside of 0 to 9$"):
            process.q_sample(schedule, x, torch.tensor([3, wrong]), x)
    with pytest.raises(ValueError, match=r"^timesteps are whole numbers \(B,\), not torch.float32"):
        schedule.at(torch.tensor([1.0]))
    with pytest.raises(
        ValueError, match=r"^timesteps are whole numbers \(B,\), not torch.int64 \(\)"
    ):
        schedule.at(torch.tensor(1))
    with pytest.raises(ValueError, match="^there are timesteps for 3 samples, but 2 samples$"):
        process.q_sample(schedule, x, torch.tensor([3, 4, 5]), x)
    with pytest.raises(ValueError, match="^target 'sample' is none of noise, x0, velocity$"):
        process.diffusion_loss(lambda x, timesteps: x, schedule, x, target="sample")
    with pytest.raises(ValueError, match=r"^the model predicts \(2, 1\) for \(2, 3\)$"):
        process.diffusion_loss(lambda x, timesteps: x[:, :1], schedule, x)
    times = torch.tensor([3, 3])
    with pytest.raises(ValueError, match="^variance 'learned' is none of posterior, beta$"):
        ddpm.ancestral_step(schedule, x, x, times, x, variance="learned")
    with pytest.raises(ValueError, match=r"^clamp is 0.0: to clamp to"):
        ddpm.ancestral_step(schedule, x, x, times, x, clamp=0.0)
    with pytest.raises(ValueError, match=r"^previous \[2, 3\] is not before \[3, 3\]$"):
        ddpm.posterior(schedule, x, x, times, torch.tensor([2, 3]))
    with pytest.raises(ValueError, match="^betas from 0.5 to 1.5 do not grow between 0 and 1$"):
        linear_schedule(10, 0.5, 1.5)
    with pytest.raises(
        ValueError, match="^alpha_bar does not fall between 1 and 0 at all of 2 steps"
    ):
        Schedule(torch.tensor([0.5, 0.6]).double())
    with pytest.raises(ValueError, match=r"^a schedule is float64 \(steps,\), not torch.float32"):
        Schedule(torch.tensor([0.5]))


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
    check_shape_comments(run_shapes, "diffusion/ddpm.py")
