"""Schedules against their formulas, mixing, targets, and the loss against a loop."""

import dataclasses
import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.testing import assert_close

from scratchmm.diffusion import process
from scratchmm.diffusion.process import (
    Schedule,
    cosine_schedule,
    linear_schedule,
    mix,
    per_sample,
    scaled_linear_schedule,
)
from shape_comments import check_shape_comments

EXACT = {"rtol": 0, "atol": 1e-10}
SCHEDULES = {
    "linear": linear_schedule(),
    "scaled_linear": scaled_linear_schedule(1000, 1e-4, 0.02),
    "squaredcos_cap_v2": cosine_schedule(),
}


def normal(*shape, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(shape, generator=generator, dtype=torch.float64)


# --- the schedule -------------------------------------------------------------------------------


def test_schedules_are_their_papers_formulas():
    product, least, most = 1.0, 1e-4, 0.02
    levels = []
    for step in range(1000):
        product *= 1 - (least + (most - least) * step / 999)
        levels.append(product)
    assert_close(linear_schedule().alpha_bar, torch.tensor(levels).double(), rtol=1e-6, atol=0)
    assert abs(linear_schedule().alpha_bar[-1].item() - product) < 1e-15

    def level(t):
        return math.cos((t / 50 + 0.008) / 1.008 * math.pi / 2) ** 2

    expected = [level(t) / level(0) for t in range(1, 50)]
    schedule = cosine_schedule(50)
    assert_close(schedule.alpha_bar[:-1], torch.tensor(expected, dtype=torch.float64), **EXACT)
    assert schedule.betas[-1].item() == pytest.approx(0.999)


@pytest.mark.parametrize("schedule", SCHEDULES.values(), ids=SCHEDULES)
def test_betas_give_the_levels_back(schedule):
    assert schedule.alpha_bar.dtype == torch.float64
    assert_close(torch.cumprod(1 - schedule.betas, 0), schedule.alpha_bar)
    ratio = schedule.signal_to_noise
    assert (ratio[1:] < ratio[:-1]).all()
    assert_close(ratio / (1 + ratio), schedule.alpha_bar)


def test_a_schedule_is_itself_and_stays_as_it_is():
    """Tensors have no single truth value: schedules are told apart by identity, as modules are."""
    one, other = cosine_schedule(10), cosine_schedule(10)
    assert one == one and one != other and len({one, other}) == 2
    with pytest.raises(dataclasses.FrozenInstanceError):
        one.alpha_bar = other.alpha_bar


def test_levels_are_looked_up():
    schedule = Schedule(torch.tensor([0.9, 0.5, 0.2], dtype=torch.float64))
    assert schedule.at(torch.tensor([2, 0, 2])).tolist() == [0.2, 0.9, 0.2]
    assert schedule.at(torch.tensor([-1, 1]), final_alpha=0.9).tolist() == [0.9, 0.5]


# --- forwards -----------------------------------------------------------------------------------


def test_one_jump_is_many_small_steps():
    """Noise added step by step (equation 2) adds up to the level of one jump (equation 4)."""
    schedule = cosine_schedule(20)
    of_start, of_noise = 1.0, 0.0  # the factor of the start, and the noise's variance
    for timestep, beta in enumerate(schedule.betas.tolist()):
        of_start, of_noise = of_start * math.sqrt(1 - beta), of_noise * (1 - beta) + beta
        times, one, none = torch.tensor([timestep]), torch.ones(1).double(), torch.zeros(1).double()
        assert process.q_sample(schedule, one, times, none).item() == pytest.approx(of_start)
        assert process.q_sample(schedule, none, times, one).item() ** 2 == pytest.approx(of_noise)


@given(a=st.floats(0, 1))
def test_variance_one_stays_one(a):
    level = torch.tensor([a, a], dtype=torch.float64)
    parts = mix(torch.eye(2).double(), 1 - torch.eye(2).double(), level)
    assert_close(parts.square().sum(dim=1), torch.ones(2).double())


def test_each_sample_has_a_timestep_of_its_own():
    schedule, start, noise = cosine_schedule(30), normal(4, 3, 2, 5), normal(4, 3, 2, 5, seed=1)
    times = torch.tensor([7, 29, 0, 7])
    together = process.q_sample(schedule, start, times, noise)
    for row, timestep in enumerate(times.tolist()):
        level = schedule.alpha_bar[timestep].item()
        alone = math.sqrt(level) * start[row] + math.sqrt(1 - level) * noise[row]
        assert_close(together[row], alone)


def test_numbers_a_sample_fit_any_sample():
    for shape in [(2,), (2, 3), (2, 3, 4, 5, 6)]:
        found = per_sample(torch.tensor([1.0, 2.0]).double(), torch.zeros(shape))
        assert found.shape == (2, *[1] * (len(shape) - 1)) and found.dtype == torch.float32


# --- targets ------------------------------------------------------------------------------------


@given(
    a=st.floats(0.01, 0.99),
    have=st.sampled_from(process.TARGETS),
    want=st.sampled_from(process.TARGETS),
)
@settings(deadline=None)
def test_any_target_becomes_any_other(a, have, want):
    start, noise, level = normal(2, 3), normal(2, 3, seed=1), torch.full((2,), a).double()
    x = mix(start, noise, level)
    told = process.target_of(start, noise, level, have)
    found = process.x0_and_noise(told, x, level, have)
    assert_close(found.x0, start)
    assert_close(found.noise, noise)
    assert_close(
        process.target_of(*found, level, want), process.target_of(start, noise, level, want)
    )


def test_velocity_is_the_speed_of_the_turn():
    """With x = cos(angle) start + sin(angle) noise, it is dx / dangle."""
    start, noise = normal(1, 4), normal(1, 4, seed=1)
    angle = torch.tensor([0.7], dtype=torch.float64)
    _, speed = torch.autograd.functional.jvp(
        lambda turn: turn.cos() * start + turn.sin() * noise, angle, torch.ones_like(angle)
    )
    assert_close(process.target_of(start, noise, angle.cos() ** 2, "velocity"), speed)


def test_the_loss_is_the_mean_over_samples_at_their_own_times():
    schedule, start, noise = cosine_schedule(9), normal(3, 2, 4), normal(3, 2, 4, seed=1)
    times, weight = torch.tensor([0, 8, 4]), torch.tensor(0.3, dtype=torch.float64)

    def model(x, timesteps, shift):
        assert timesteps.tolist() == times.tolist()
        return x * weight + timesteps[:, None, None] + shift

    for target in process.TARGETS:
        loss = process.diffusion_loss(
            model, schedule, start, target=target, timesteps=times, noise=noise, shift=2.0
        )
        errors = []
        for row, timestep in enumerate(times.tolist()):
            level = schedule.alpha_bar[timestep].item()
            p, d = math.sqrt(level), math.sqrt(1 - level)
            x = p * start[row] + d * noise[row]
            wanted = {
                "noise": noise[row],
                "x0": start[row],
                "velocity": p * noise[row] - d * start[row],
            }
            errors.append((x * 0.3 + timestep + 2 - wanted[target]).square().mean())
        assert_close(loss, torch.stack(errors).mean())


def test_the_loss_draws_all_timesteps_and_new_noise():
    schedule, seen, inputs = cosine_schedule(5), [], []

    def model(x, timesteps):
        seen.extend(timesteps.tolist())
        inputs.append(x)
        return x

    generator = torch.Generator().manual_seed(0)
    for _ in range(20):
        process.diffusion_loss(model, schedule, torch.zeros(30, 1), generator=generator)
    assert set(seen) == set(range(5)) and min(map(seen.count, seen)) > 60  # of 120 each
    assert len({tuple(x.flatten().tolist()) for x in inputs}) == 20
    deviation = torch.cat(inputs).flatten() / (1 - schedule.at(torch.tensor(seen))).sqrt()
    assert 0.85 < deviation.square().mean() < 1.15


@pytest.mark.parametrize("steps", [0, -3, 2.5, True])
def test_no_schedule_of_no_steps(steps):
    for make in (linear_schedule, scaled_linear_schedule, cosine_schedule):
        with pytest.raises(ValueError, match=f"^a schedule of {steps} steps is none"):
            make(steps)


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
    check_shape_comments(run_shapes, "diffusion/process.py")
