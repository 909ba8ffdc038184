"""The unCLIP prior's own parts: order, padding, the scale, the better of two."""

import math

import pytest
import torch

from scratchmm.diffusion.ddim import ddim_sample, spaced_timesteps
from scratchmm.diffusion.prior import (
    Prior,
    PriorConfig,
    closest,
    draw_embeddings,
    kandinsky_2_2,
    karlo,
    prior_loss,
    tiny,
)
from scratchmm.diffusion.process import cosine_schedule
from shape_comments import check_shape_comments


def normal(*shape, seed=1):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed)).double()


@pytest.fixture
def prior():
    torch.manual_seed(0)
    model = Prior(tiny()).double().eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.normal_(std=0.3)
    return model


def conditions(tokens=5):
    timesteps = torch.tensor([3, 500, 999])
    return normal(3, 24), timesteps, normal(3, 24, seed=2), normal(3, tokens, 20, seed=3)


@pytest.mark.parametrize(("config", "count"), [(karlo(), 1_022_028_544)])
def test_sizes_are_exact(config, count):
    with torch.device("meta"):
        model = Prior(config)
    assert sum(p.numel() for p in model.parameters()) == count
    wider = kandinsky_2_2()
    # three layers read CLIP's embeddings, one writes them
    more = (wider.embedding - config.embedding) * (4 * config.width + 1)
    assert count + more == 1_026_223_360


def test_it_answers_at_the_query_which_sees_everything(prior):
    noisy, timesteps, text_embedding, text = conditions()
    before = prior(noisy, timesteps, text_embedding, text)
    assert before.shape == (3, 24)
    leaves = [tensor.clone().requires_grad_() for tensor in (noisy, text_embedding, text)]
    prior(leaves[0], timesteps, leaves[1], leaves[2])[:, 0].sum().backward()
    assert (leaves[0].grad != 0).all() and (leaves[1].grad != 0).all()
    assert (leaves[2].grad != 0).all()
    after = prior(noisy, timesteps + 1, text_embedding, text)
    assert ((after - before).abs().amax(dim=1) > 1e-6).all()
    assert all(p.grad is not None for p in prior.parameters())


def test_the_order_is_causal(prior):
    """Words learn nothing of what comes after them, however loud it is."""
    seen = []
    prior.transformer.register_forward_hook(lambda module, inputs, output: seen.append(output))
    noisy, timesteps, text_embedding, text = conditions()
    prior(noisy, timesteps, text_embedding, text)
    prior(noisy * 1e4, timesteps, text_embedding, text)
    torch.testing.assert_close(seen[0][:, :7], seen[1][:, :7], rtol=0, atol=0)  # text, its, time
    assert (seen[0][:, 7:] != seen[1][:, 7:]).all()
    changed = text.clone()
    changed[:, 3] *= 1e4
    prior(noisy, timesteps, text_embedding, changed)
    torch.testing.assert_close(seen[0][:, :3], seen[2][:, :3], rtol=0, atol=0)


def test_padding_says_nothing_and_short_texts_are_padded_ones(prior):
    noisy, timesteps, text_embedding, text = conditions(tokens=7)
    real = torch.arange(7) < torch.tensor([[7], [4], [1]])
    expected = prior(noisy, timesteps, text_embedding, text, real)
    loud = torch.where(real[..., None], text, 1e6)
    torch.testing.assert_close(prior(noisy, timesteps, text_embedding, loud, real), expected)
    short = prior(noisy, timesteps, text_embedding, text[:, :4], real[:, :4])
    torch.testing.assert_close(short[1:], expected[1:])
    every = torch.ones(3, 7, dtype=torch.bool)
    torch.testing.assert_close(
        prior(noisy, timesteps, text_embedding, text, every),
        prior(noisy, timesteps, text_embedding, text),
    )


def test_prompts_of_a_batch_do_not_meet(prior):
    batch = conditions()
    one = [tensor[1:2] for tensor in batch]
    torch.testing.assert_close(prior(*one), prior(*batch)[1:2])


def test_normalise_there_and_back(prior):
    embeddings = normal(50, 24) * torch.linspace(0.1, 3, 24) + torch.arange(24)
    torch.testing.assert_close(prior.normalise(embeddings), embeddings)  # not yet fitted
    prior.fit_normalisation(embeddings.clone().requires_grad_())  # as of a CLIP that is trained
    assert not prior.mean.requires_grad and not prior.deviation.requires_grad
    normalised = prior.normalise(embeddings)
    torch.testing.assert_close(normalised.mean(dim=0), torch.zeros(24).double())
    torch.testing.assert_close(normalised.std(dim=0, correction=0), torch.ones(24).double())
    torch.testing.assert_close(prior.restore(normalised), embeddings)
    copy = Prior(tiny()).double()
    copy.load_state_dict(prior.state_dict())
    torch.testing.assert_close(copy.normalise(embeddings), normalised)
    prior.fit_normalisation(torch.ones(5, 24).double())
    assert torch.isfinite(prior.normalise(embeddings)).all()


def test_closest_is_a_loop():
    candidates, text = normal(4, 3, 6), normal(4, 6, seed=2)
    expected = [
        max(drawn, key=lambda vector, wanted=wanted: float(vector @ wanted))
        for drawn, wanted in zip(candidates, text, strict=True)
    ]
    torch.testing.assert_close(closest(candidates, text), torch.stack(expected))


def replace(index, tensor):
    batch = list(conditions())
    return [*batch[:index], tensor, *batch[index + 1 :]]


@pytest.mark.parametrize(
    ("batch", "sentence"),
    [
        (replace(3, normal(3, 8, 20)), "^the texts have 8 tokens, but this prior takes at most 7$"),
        (replace(0, normal(3, 25)), "^the noisy embeddings are 25 wide, but this prior takes 24$"),
        (replace(2, normal(3, 20)), "^the text embeddings are 20 wide, but this prior takes 24$"),
        (replace(3, normal(3, 5, 24)), "^the text tokens are 24 wide, but this prior takes 20$"),
        (replace(1, torch.tensor([3])), "^there are 1 timesteps but 3 noisy embeddings$"),
        (replace(2, normal(1, 24)), "^there are 1 text embeddings but 3 noisy embeddings$"),
        (replace(3, normal(2, 5, 20)), "^there are 2 texts but 3 noisy embeddings$"),
        (
            [*conditions(), torch.ones(3, 5)],
            r"^the mask of the texts is \(3, 5\) of torch.float32, but they need \(3, 5\) of",
        ),
        (
            [*conditions(), torch.ones(3, 4, dtype=torch.bool)],
            r"^the mask of the texts is \(3, 4\) of torch.bool, but they need \(3, 5\) of",
        ),
    ],
)
def test_refusals(prior, batch, sentence):
    with pytest.raises(ValueError, match=sentence):
        prior(*batch)


def test_heads_must_share_the_width():
    with pytest.raises(ValueError, match="^width 30 is not divisible by 4 heads$"):
        PriorConfig(width=30, heads=4)


class Watched(Prior):
    """Remembers what it was asked, and answers what `answer` makes of it."""

    def __init__(self, answer):
        super().__init__(tiny())
        self.answer, self.asked = answer, []
        self.double().fit_normalisation(normal(40, 24, seed=9) * 3 + 2)

    def forward(self, noisy, timesteps, text_embedding, text, real=None):
        self.asked.append((noisy, timesteps, text_embedding, text, real))
        return self.answer(noisy, text_embedding)


def texts_of(count):
    real = torch.arange(5) < torch.arange(1, count + 1)[:, None]
    text_embedding, text = normal(count, 24, seed=2), normal(count, 5, 20, seed=3)
    return {"text_embedding": text_embedding, "text": text, "real": real}


def test_the_loss_is_of_the_clean_embedding_as_it_was_normalised():
    schedule, images = cosine_schedule(50), normal(300, 24, seed=4) * 3 + 2
    silent, generator = Watched(lambda noisy, text: torch.zeros_like(noisy)), torch.Generator()
    loss = prior_loss(silent, schedule, images, generator=generator, **texts_of(300))
    start = (images - silent.mean) / silent.deviation
    torch.testing.assert_close(loss, start.square().mean())
    noisy, timesteps, *_ = silent.asked[0]
    assert timesteps.shape == (300,) and set(timesteps.tolist()) >= {0, 49}
    level = schedule.alpha_bar[timesteps][:, None]
    noise = (noisy - level.sqrt() * start) / (1 - level).sqrt()
    assert noise.mean().abs() < 0.05 and abs(noise.std() - 1) < 0.05
    knowing = Watched(lambda noisy, text: start)
    assert prior_loss(knowing, schedule, images, **texts_of(300)) < 1e-20


def test_dropped_texts_become_the_empty_one_whole():
    texts, empty = texts_of(400), {name: value[7:8] for name, value in texts_of(9).items()}
    silent = Watched(lambda noisy, text: torch.zeros_like(noisy))
    for dropout in (0.0, 0.3, 1.0):
        prior_loss(
            silent, cosine_schedule(50), normal(400, 24), empty=empty, dropout_probability=dropout,
            generator=torch.Generator().manual_seed(1), **texts,
        )  # fmt: skip
        seen = dict(zip(texts, silent.asked[-1][2:], strict=True))
        gone = (seen["text_embedding"] == empty["text_embedding"]).all(dim=1)
        assert abs(gone.double().mean() - dropout) < 0.06
        for name, value in texts.items():
            torch.testing.assert_close(seen[name][~gone], value[~gone], rtol=0, atol=0)
            expected = empty[name].expand_as(value)[gone]
            torch.testing.assert_close(seen[name][gone], expected, rtol=0, atol=0)


def test_drawn_is_the_closest_of_its_own_candidates_restored(prior):
    prior.fit_normalisation(normal(40, 24, seed=9) * 3 + 2)
    schedule, texts = cosine_schedule(20), texts_of(3)
    noise = torch.randn(12, 24, generator=torch.Generator().manual_seed(5), dtype=torch.float64)
    expected = []
    for row in range(3):
        one, found = {name: value[row : row + 1] for name, value in texts.items()}, []
        for candidate in range(4):
            begin, times = noise[4 * row + candidate][None], spaced_timesteps(20, 5)
            drawn = ddim_sample(prior, schedule, begin, times, target="x0", clamp=5.0, **one)
            found.append(drawn[0] * prior.deviation + prior.mean)
        expected.append(max(found, key=lambda vector: float(vector @ one["text_embedding"][0])))
    drawn = draw_embeddings(
        prior, schedule, steps=5, candidates=4,
        generator=torch.Generator().manual_seed(5), **texts,
    )  # fmt: skip
    torch.testing.assert_close(drawn, torch.stack(expected))
    assert not drawn.requires_grad


def test_guidance_of_the_prior_leads_away_from_the_empty_text():
    says_the_text = Watched(lambda noisy, text: text)
    texts = texts_of(3)
    empty = {name: value[:1] for name, value in texts_of(2).items()}
    drawn = draw_embeddings(
        says_the_text, cosine_schedule(20), steps=2, scale=3.0, clamp=None, empty=empty, **texts
    )
    away = empty["text_embedding"]
    guided = away + 3 * (texts["text_embedding"] - away)
    torch.testing.assert_close(drawn, says_the_text.restore(guided))
    held = draw_embeddings(
        says_the_text, cosine_schedule(20), steps=2, scale=3.0, clamp=1.0, empty=empty, **texts
    )
    torch.testing.assert_close(held, says_the_text.restore(guided.clamp(-1, 1)))
    with pytest.raises(ValueError, match="^a guidance scale of 3 needs the empty text"):
        draw_embeddings(says_the_text, cosine_schedule(20), steps=2, scale=3, **texts)
    with pytest.raises(ValueError, match="^candidates is 0 and must be"):
        draw_embeddings(says_the_text, cosine_schedule(20), steps=2, candidates=0, **texts)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_closest_in_half_precision(dtype):
    generator = torch.Generator().manual_seed(0)
    start, end = (300 * torch.randn(5, 64, generator=generator).to(dtype) for _ in range(2))
    candidates = torch.stack([end, start], dim=1)  # products of 5 million
    assert closest(candidates, start).equal(start)


def test_a_candidate_that_failed_is_not_the_closest():
    candidates = torch.tensor([[[math.nan, 0.0], [1.0, 0.0], [2.0, 0.0], [2.0, 0.0]]])
    assert closest(candidates, torch.tensor([[1.0, 0.0]])).tolist() == [[2.0, 0.0]]
    assert closest(candidates, torch.tensor([[-1.0, 0.0]])).tolist() == [[1.0, 0.0]]


def run_shapes() -> None:
    import torch

    from scratchmm.diffusion import prior, process

    config = prior.PriorConfig(10, 14, context_length=7, width=12, depth=1, heads=3)
    model, embeddings = prior.Prior(config), torch.randn(3, 10)
    real = torch.arange(5) < torch.tensor([[5], [2], [3]])
    text = torch.randn(3, 5, 14)
    drawn = model(embeddings, torch.arange(3), embeddings, text, real)
    model.restore(model.normalise(drawn))
    levels, texts = process.cosine_schedule(7), {"text_embedding": embeddings, "text": text}
    prior.prior_loss(model, levels, drawn, **texts)
    prior.draw_embeddings(model, levels, steps=1, candidates=2, **texts)
    prior.closest(torch.randn(3, 2, 10), embeddings)


def test_shape_comments_are_true() -> None:
    check_shape_comments(run_shapes, "diffusion/prior.py")
