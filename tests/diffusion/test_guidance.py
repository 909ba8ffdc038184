"""Guidance by hand, what it must not change, and the prompts that training drops."""

import pytest
import torch
from torch.testing import assert_close

from scratchmm.diffusion.ddim import ddim_sample
from scratchmm.diffusion.guidance import guide, guided, prompt_dropout
from scratchmm.diffusion.process import TARGETS, cosine_schedule, target_of, x0_and_noise
from shape_comments import check_shape_comments


def normal(*shape, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(shape, generator=generator, dtype=torch.float64)


def model(x, timesteps, words, mask=None, strength=1.0, edges=0.0):
    """Depends on every sample's own x, timestep, words, mask and edges."""
    seen = words if mask is None else words * mask
    return (x.sin() + timesteps[:, None] / 7) * (
        1 + seen.sum(dim=1, keepdim=True)
    ) * strength + edges


@pytest.mark.parametrize("scale", [0, 0.5, 1, 3.0, -1.0])
@pytest.mark.parametrize("rows", [1, 2])
def test_it_is_two_separate_predictions_weighed(scale, rows):
    x, times = normal(2, 3), torch.tensor([1, 5])
    words, away = normal(2, 4, seed=1), normal(rows, 4, seed=2)
    mask, none = torch.tensor([[1, 1, 0, 0], [1, 1, 1, 0]]), torch.tensor([[1, 0, 0, 0]])
    edges = normal(2, 3, seed=3)
    given = {"words": words, "mask": mask, "edges": edges, "strength": 2.0}
    found = guided(model, {"words": away, "mask": none}, scale)(x, times, **given)
    yes = model(x, times, words, mask, 2.0, edges)
    no = model(x, times, away.expand(2, 4), none.expand(2, 4), 2.0, edges)
    assert_close(found, (1 - scale) * no + scale * yes)
    assert_close(guide(yes, no, scale), found)


def test_the_papers_weight_is_one_less():
    """Equation 6: (1 + w) conditional - w unconditional."""
    yes, no = normal(2, 3), normal(2, 3, seed=1)
    assert_close(guide(yes, no, scale=1 + 2.5), (1 + 2.5) * yes - 2.5 * no)


def test_scale_one_asks_once_and_others_ask_in_one_batch():
    asked = []

    def counting(x, timesteps, words):
        asked.append((len(x), len(timesteps), len(words)))
        return model(x, timesteps, words)

    x, times, words = normal(2, 3), torch.tensor([1, 5]), normal(2, 4)
    nothing = {"words": torch.zeros(1, 4)}
    one = guided(counting, nothing, 1.0)(x, times, words=words)
    assert (one == model(x, times, words)).all()
    guided(counting, nothing, 2.0)(x, times, words=words)
    assert asked == [(2, 2, 2), (4, 4, 4)]


def test_the_order_of_the_two_in_a_prompt_matters():
    """Away from the negative: swapping both turns the direction round."""
    x, times, one, other = normal(2, 3), torch.tensor([1, 5]), normal(2, 4), normal(2, 4, seed=1)
    there = guided(model, {"words": other}, 3.0)(x, times, words=one)
    back = guided(model, {"words": one}, -2.0)(x, times, words=other)
    assert_close(there, back)


@pytest.mark.parametrize("target", TARGETS)
def test_guiding_one_target_guides_them_all(target):
    x, alpha_bar = normal(2, 3), torch.tensor([0.3, 0.8]).double()
    yes, no = normal(2, 3, seed=1), normal(2, 3, seed=2)

    def told(noise):
        start = x0_and_noise(noise, x, alpha_bar, "noise").x0
        return target_of(start, noise, alpha_bar, target)

    assert_close(guide(told(yes), told(no), 4.0), told(guide(yes, no, 4.0)))


def test_samplers_take_a_guided_model():
    """The start is what the words say; guided by 3 away from 1, words of 2 say 4."""

    def says(x, timesteps, words):
        return words.expand_as(x)

    better = guided(says, {"words": torch.ones(1, 1)}, 3.0)
    words = torch.tensor([[2.0], [1.0]])
    found = ddim_sample(better, cosine_schedule(9), torch.ones(2, 3), [8, 3], target="x0",
                        words=words)  # fmt: skip
    assert_close(found, torch.tensor([[4.0], [1.0]]).expand(2, 3))


# --- prompt dropout -----------------------------------------------------------------------------


def test_whole_prompts_are_dropped_words_and_mask_together():
    words, mask = torch.arange(1, 3001).reshape(1000, 3), torch.ones(1000, 3).bool()
    image = torch.rand(1000, 2)
    empty = {"words": torch.zeros(1, 3).long(), "mask": torch.tensor([[True, False, False]])}
    given = {"words": words, "mask": mask, "image": image}
    found = prompt_dropout(given, empty, 0.2, torch.Generator().manual_seed(0))
    gone = (found["words"] == 0).all(dim=1)
    assert 150 < gone.sum() < 250
    assert (found["words"][~gone] == words[~gone]).all()
    assert (found["mask"] == torch.where(gone[:, None], empty["mask"], mask)).all()
    assert found["image"] is image and (words > 0).all()
    assert found["words"].dtype == torch.int64 and found["mask"].dtype == torch.bool


def test_the_ends_of_the_probability_and_the_seed():
    words, empty = {"words": torch.ones(500, 2, 3)}, {"words": torch.zeros(1, 2, 3)}
    assert (prompt_dropout(words, empty, 0.0)["words"] == 1).all()
    assert (prompt_dropout(words, empty, 1.0)["words"] == 0).all()

    def draw(seed):
        return prompt_dropout(words, empty, 0.5, torch.Generator().manual_seed(seed))["words"]

    assert (draw(1) == draw(1)).all() and (draw(1) != draw(2)).any()


# --- refusals -----------------------------------------------------------------------------------


@pytest.mark.parametrize("scale", [float("nan"), float("inf"), "4", None, True])
def test_a_scale_is_a_number(scale):
    with pytest.raises(ValueError, match="^guidance scale .* is not a finite number$"):
        guided(model, {}, scale)
    with pytest.raises(ValueError, match="^guidance scale .* is not a finite number$"):
        guide(torch.ones(1), torch.ones(1), scale)


def test_refusals():
    x, times, words = normal(2, 3), torch.tensor([1, 5]), normal(2, 4)

    def ask(**negative):
        guided(model, negative, 1.0)(x, times, words=words)

    with pytest.raises(ValueError, match="^negative 'text' takes the place of nothing in words$"):
        ask(text=words)
    for shape in ((1, 3), (3, 4), (1, 1)):
        with pytest.raises(ValueError, match=r"^negative 'words' is \(\d, \d\), its condition"):
            ask(words=torch.zeros(shape))
    with pytest.raises(ValueError, match=r"its condition \(3, 4\) in a batch of 2$"):
        guided(model, {"words": words}, 2.0)(x, times, words=normal(3, 4))
    with pytest.raises(ValueError, match="^empty 'text' takes the place of nothing in words$"):
        prompt_dropout({"words": words}, {"text": words}, 0.5)
    for share in (-0.1, 1.1, float("nan")):
        with pytest.raises(ValueError, match="^dropout_probability is .*, not from 0 to 1$"):
            prompt_dropout({"words": words}, {"words": words}, share)


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
    check_shape_comments(run_shapes, "diffusion/guidance.py")
