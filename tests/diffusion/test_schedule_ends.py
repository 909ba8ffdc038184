"""The ends of a schedule: every count of timesteps, DDIMScheduler's strides, an end in pure noise."""

import pytest
import torch
from torch.testing import assert_close

from scratchmm.diffusion import ddim, ddpm, process
from scratchmm.diffusion.process import (
    Schedule,
    cosine_schedule,
    linear_schedule,
    mix,
    scaled_linear_schedule,
    zero_terminal_snr,
)

ALL = range(1, 1001)
SURPLUS = 62  # counts of trailing timesteps whose last one is -1 in diffusers


def normal(*shape, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(shape, generator=generator, dtype=torch.float64)


def curved(x, timesteps):
    return 0.7 * torch.sin(3 * x) + 0.01 * timesteps.view(-1, 1, 1)


@pytest.mark.parametrize("spacing", ddim.SPACINGS)
def test_every_count_of_timesteps_is_that_of_diffusers(spacing):
    diffusers = pytest.importorskip("diffusers")
    scheduler, surplus = diffusers.DDIMScheduler(timestep_spacing=spacing), 0
    for steps in ALL:
        scheduler.set_timesteps(steps)
        theirs = scheduler.timesteps.tolist()
        if len(theirs) > steps:
            assert spacing == "trailing" and theirs.pop() == -1
            surplus += 1
        assert ddim.spaced_timesteps(1000, steps, spacing) == theirs, steps
    assert surplus == (SURPLUS if spacing == "trailing" else 0)


@pytest.mark.parametrize("spacing", ddim.SPACINGS)
@pytest.mark.parametrize("steps", [1, 7, 10, 30, 48, 51, 300])
def test_with_its_stride_it_walks_as_diffusers_does(spacing, steps):
    """So does the next of the list, where that is as far; elsewhere the two are far apart."""
    diffusers = pytest.importorskip("diffusers")
    scheduler = diffusers.DDIMScheduler(clip_sample=False, timestep_spacing=spacing)
    schedule = linear_schedule()
    scheduler.alphas_cumprod = schedule.alpha_bar
    scheduler.final_alpha_cumprod = torch.tensor(1.0, dtype=torch.float64)
    scheduler.set_timesteps(steps)
    x = expected = normal(2, 3, 4)
    for timestep in scheduler.timesteps.tolist():
        predicted = curved(expected, torch.full((2,), timestep))
        expected = scheduler.step(predicted, timestep, expected).prev_sample
    timesteps = ddim.spaced_timesteps(1000, steps, spacing)
    size = expected.abs().max()
    found = ddim.ddim_sample(curved, schedule, x, timesteps, stride=1000 // steps)
    assert (found - expected).abs().max() < 1e-10 * size
    listed = ddim.ddim_sample(curved, schedule, x, timesteps)
    same = spacing == "leading" or (spacing == "trailing" and 1000 % steps == 0)
    assert ((listed - expected).abs().max() < 1e-10 * size) == (same or steps == 1)


@pytest.mark.parametrize("make", [linear_schedule, scaled_linear_schedule, cosine_schedule])
def test_the_stretched_schedule_keeps_its_first_level_and_ends_in_nothing(make):
    schedule = make()
    stretched = zero_terminal_snr(schedule)
    assert stretched.alpha_bar[-1] == 0 == stretched.signal_to_noise[-1]
    assert_close(stretched.alpha_bar[0], schedule.alpha_bar[0])
    assert stretched.betas[-1] == 1 and (stretched.betas > 0).all()
    twice = zero_terminal_snr(stretched)
    assert_close(twice.alpha_bar, stretched.alpha_bar)  # nothing is left to stretch
    kept = (schedule.alpha_bar.sqrt() - stretched.alpha_bar.sqrt()).diff()
    assert (kept > 0).all()  # more is taken away the further on


@pytest.mark.parametrize("kind", ["linear", "scaled_linear"])
def test_stretched_levels_are_those_of_diffusers(kind):
    diffusers = pytest.importorskip("diffusers")
    schedule = linear_schedule() if kind == "linear" else scaled_linear_schedule()
    first, last = (1e-4, 0.02) if kind == "linear" else (0.00085, 0.012)
    theirs = diffusers.DDIMScheduler(
        beta_schedule=kind, beta_start=first, beta_end=last, rescale_betas_zero_snr=True
    )
    found = zero_terminal_snr(schedule).alpha_bar
    assert_close(found, theirs.alphas_cumprod.double(), rtol=0, atol=1e-6)  # theirs is float32
    assert theirs.alphas_cumprod[-1] == found[-1] == 0


@pytest.mark.parametrize("target", ["velocity", "x0"])
@pytest.mark.parametrize("eta", [0.0, 0.6])
def test_it_is_walked_from_pure_noise_as_diffusers_does(target, eta):
    diffusers = pytest.importorskip("diffusers")
    schedule = zero_terminal_snr(scaled_linear_schedule())
    scheduler = diffusers.DDIMScheduler(
        clip_sample=False, timestep_spacing="trailing", rescale_betas_zero_snr=True,
        prediction_type={"velocity": "v_prediction", "x0": "sample"}[target],
    )  # fmt: skip
    scheduler.alphas_cumprod = schedule.alpha_bar
    scheduler.final_alpha_cumprod = torch.tensor(1.0, dtype=torch.float64)
    scheduler.set_timesteps(20)
    x = expected = normal(2, 3, 4)
    theirs, ours = (torch.Generator().manual_seed(0) for _ in range(2))
    for timestep in scheduler.timesteps.tolist():
        said = curved(expected, torch.full((2,), timestep))
        noise = torch.randn(x.shape, generator=theirs, dtype=x.dtype) if eta else None
        step = scheduler.step(said, timestep, expected, eta, variance_noise=noise)
        expected = step.prev_sample
    way = ddim.spaced_timesteps(1000, 20)
    found = ddim.ddim_sample(curved, schedule, x, way, target=target, eta=eta, generator=ours)
    assert found.isfinite().all()
    assert_close(found, expected, rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("target", ["velocity", "x0"])
def test_who_knows_the_image_finds_it_from_pure_noise(target):
    schedule, start, noise = (
        zero_terminal_snr(cosine_schedule(30)),
        normal(2, 3),
        normal(2, 3, seed=1),
    )

    def knows(x, timesteps):
        alpha_bar = schedule.at(timesteps)
        made = (x - mix(start, torch.zeros_like(x), alpha_bar)) / (1 - alpha_bar).sqrt()[:, None]
        return process.target_of(start, made, alpha_bar, target)

    assert process.q_sample(schedule, start, torch.tensor([29, 29]), noise).equal(noise)
    way = ddim.spaced_timesteps(30, 7)
    assert_close(ddim.ddim_sample(knows, schedule, noise, way, target=target), start)
    back = ddim.ddim_invert(knows, schedule, start, way, target=target, final_alpha=0.9999)
    assert back.isfinite().all()
    drawn = ddpm.ancestral_sample(knows, schedule, noise, target=target)
    assert_close(drawn, start)
    loss = process.diffusion_loss(
        knows, schedule, start, target=target, timesteps=torch.tensor([29, 3]), noise=noise
    )
    assert loss < 1e-20


def test_a_predicted_noise_is_refused_at_pure_noise():
    schedule, x = zero_terminal_snr(cosine_schedule(10)), normal(2, 3)
    for call in (
        lambda: ddim.ddim_sample(lambda x, timesteps: x, schedule, x, [9, 4]),
        lambda: ddpm.ancestral_sample(lambda x, timesteps: x, schedule, x),
        lambda: process.x0_and_noise(x, x, torch.tensor([0.5, 0.0]), "noise"),
    ):
        with pytest.raises(ValueError, match="noise determines no x0 where alpha_bar is 0"):
            call()
    assert ddim.ddim_sample(lambda x, timesteps: x, schedule, x, [8, 4]).isfinite().all()


def test_ends_that_are_none_are_refused():
    for levels in ([0.5, 0.0, 0.0], [0.5, -0.1], [0.5, 0.0, 0.2], [1.0, 0.0], [float("nan"), 0.0]):
        with pytest.raises(ValueError, match="does not fall between 1 and 0"):
            Schedule(torch.tensor(levels, dtype=torch.float64))
    assert len(Schedule(torch.tensor([0.5, 0.0], dtype=torch.float64))) == 2
    with pytest.raises(ValueError, match="1 step has one level"):
        zero_terminal_snr(cosine_schedule(1))
    for stride in (0, -5):
        with pytest.raises(ValueError, match=f"a stride of {stride} timesteps leads nowhere"):
            ddim.ddim_sample(curved, cosine_schedule(9), normal(1, 2, 2), [8, 4], stride=stride)
