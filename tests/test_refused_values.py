"""Counts, sizes, rates and shares that cannot be are refused by name and number, in no time.

A count of 1e12 once filled the memory or ran for hours, and nan came back as a figure.
"""

import math
import time

import numpy as np
import pytest
import torch

from scratchmm.audio.audio_cnn import frame_mask
from scratchmm.audio.mel import dct, mel_filters, mel_points
from scratchmm.audio.rhythm import likeness, tempo
from scratchmm.audio.spectrum import decibels, frame, hann, overlap_add, pad_ends, stft
from scratchmm.audio.waveform import windowed_sinc
from scratchmm.data.sets.moving_mnist import sample_moving_digits
from scratchmm.data.world.balanced_questions import ask_scenes
from scratchmm.data.world.captioned import captioned
from scratchmm.data.world.clips import draw_clips, sample_clip
from scratchmm.data.world.control_images import KINDS, control_images
from scratchmm.data.world.images import coverage, draw, draw_many, masks
from scratchmm.data.world.motion import Clip, places
from scratchmm.data.world.scenes import Scene, Thing, sample_scene
from scratchmm.data.world.sounds import sound_of_scene
from scratchmm.diffusion import prior
from scratchmm.diffusion.editing.inpainting import grow_mask
from scratchmm.diffusion.editing.style import match_colours
from scratchmm.diffusion.interpolation import slerp
from scratchmm.diffusion.prior import draw_embeddings
from scratchmm.diffusion.process import cosine_schedule
from scratchmm.diffusion.vae import DiagonalGaussian, vae_loss
from scratchmm.fusion.bottleneck import BottleneckFusion
from scratchmm.fusion.early import EarlyFusion
from scratchmm.fusion.late import LateFusion
from scratchmm.fusion.modality_attention import AttentionFusion
from scratchmm.language.bpe import BytePairEncoding
from scratchmm.language.wordpiece import WordPiece
from scratchmm.layers.attention import MultiHeadAttention
from scratchmm.layers.lstm import LSTM
from scratchmm.metrics.bias import modality_bias
from scratchmm.metrics.recall import recall_at_k
from scratchmm.recipes.grid_classifier import sample_scenes
from scratchmm.training.adaptive_loss import LossRatio, ratio_weights
from scratchmm.training.augment import random_shift
from scratchmm.training.balanced import BalancedSampler, balanced_batches, balanced_order
from scratchmm.training.curriculum import Stage, competence, growing_batches
from scratchmm.training.fit import fit
from scratchmm.training.length_buckets import length_buckets
from scratchmm.training.optimizer import decay_groups
from scratchmm.training.param_groups import param_groups
from scratchmm.training.sampling import seeded, shuffled_batches
from scratchmm.video.clips import sample_frames

NO_COUNT = (0, -1, True, 1.0, 2.5, math.nan, math.inf, -math.inf, "3", None, 10**13, 10**400)
NO_NUMBER = (True, math.nan, math.inf, -math.inf, "0.5", None, 10**400)
SCENE = Scene((Thing("star", "red"),))
ONES, LABELS, SOUND = torch.ones(5), ["yes", "yes", "no"], torch.ones(99)
IMAGE, WIDTHS = torch.rand(1, 3, 4, 4), {"a": 3, "b": 4}
GAUSSIAN = DiagonalGaussian(torch.zeros(1, 2, 1, 1), torch.zeros(1, 2, 1, 1))
LINEAR = torch.nn.Sequential(torch.nn.Linear(1, 1))


def rng():
    return np.random.default_rng(0)


def generator():
    return torch.Generator().manual_seed(0)


def digits(**changed):
    sizes = {"count": 2, "frames": 3, "size": 30} | changed
    return sample_moving_digits(rng(), torch.rand(4, 1, 28, 28), torch.arange(4), **sizes)


def bias(rounds):
    return modality_bias(lambda x: x["p"], {"p": torch.arange(4)}, torch.arange(4), rounds=rounds)


def train(**changed):
    options = {"steps": 1, "learning_rate": 0.1} | changed
    return fit(LINEAR, lambda step: ONES[:, None], lambda model, x: model(x).mean(), **options)


def imagine(**changed):
    texts = {"text_embedding": torch.ones(1, 24), "text": torch.ones(1, 5, 20)}
    return draw_embeddings(
        prior.Prior(prior.tiny()), cosine_schedule(4), steps=1, **texts, **changed
    )


COUNTS = {  # a call with one count, its name in the refusal, what else must be refused, what not
    "draw": (lambda x: draw(SCENE, x), "size", (2**31,), (1, 9)),
    "draw_many": (lambda x: draw_many([SCENE] * 3, x), "size", (2**31,), (1, np.int64(9))),
    "draw_many of none": (lambda x: draw_many([], x), "size", (2**31,), (1,)),
    "masks": (lambda x: masks(SCENE, x), "size", (2**31,), (9,)),
    "masks of nothing": (lambda x: masks(Scene(()), x), "size", (2**31,), (9,)),
    "coverage": (lambda x: coverage(SCENE.things, x), "size", (2**31,), (9,)),
    "control": (lambda x: control_images([SCENE], KINDS[0], x), "size", (2**31,), (9,)),
    "control of none": (lambda x: control_images([], KINDS[2], x), "size", (2**31,), (9,)),
    "places": (lambda x: places(Clip(SCENE), x), "frames", (2**31,), (1, 3)),
    "clip frames": (lambda x: draw_clips([Clip(SCENE)], x, 8), "frames", (2**31,), (1, 3)),
    "clip size": (lambda x: draw_clips([Clip(SCENE)], 2, x), "size", (2**31,), (9,)),
    "clip things": (lambda x: sample_clip(rng(), x), "things", (3,), (1, 2)),
    "digits": (lambda x: digits(digits=x), "digits", (2**31,), (1, 3)),
    "digits' frames": (lambda x: digits(frames=x), "frames", (2**31,), (1, 3)),
    "digits' size": (lambda x: digits(size=x), "size", (2**31,), (1, 64)),
    "questions": (ask_scenes, "count", (2**31,), (1, 3)),
    "rounds": (bias, "rounds", (2**31,), (1, 3)),
    "recall": (lambda x: recall_at_k(torch.eye(3), x), "k", (), (1, 3, 99)),
    "period": (lambda x: LossRatio(["a"], period=x), "period", (2**31,), (1,)),
    "order": (lambda x: balanced_order(LABELS, x, generator()), "count", (2**31,), (1, 9)),
    "balanced": (lambda x: balanced_batches(LABELS, x), "batch size", (4,), (1, 3)),
    "growing": (lambda x: growing_batches(ONES, x, 9), "batch size", (6,), (1, 5)),
    "growing steps": (lambda x: growing_batches(ONES, 2, x), "steps", (), (1, 10**12)),
    "stage": (lambda x: Stage("s", x, int, {"a": 1}), "steps of stage 's'", (), (1, 10**12)),
    "competence": (lambda x: competence(1, x), "steps", (), (1, 10**12)),
    "like lengths": (lambda x: length_buckets([1, 2], x), "batch size", (2**31,), (1, 9)),
    "shuffled": (lambda x: shuffled_batches(9, x), "batch size", (2**31,), (1, 9)),
    "shuffled count": (lambda x: shuffled_batches(x, 1), "count", (2**31,), (1, 9)),
    "frames": (lambda x: sample_frames(x, 4), "frames", (2**31,), (1, 9)),
    "frames taken": (lambda x: sample_frames(9, x), "count", (2**31,), (1, 9)),
    "stride": (lambda x: sample_frames(9, 4, "dense", None, x), "stride", (2**31,), (1, 9)),
    "training": (lambda x: train(steps=x), "steps", (2**31,), (1, 2)),
    "saving": (lambda x: train(save_every=x), "save_every", (2**31,), (1, 2)),
    "scene": (lambda x: sample_scene(rng(), x), "things", (6,), (1, 5)),
    "candidates": (lambda x: imagine(candidates=x), "candidates", (2**31,), (1, 2)),
    "overlap": (lambda x: overlap_add(torch.ones(3, 4), x), "hop", (2**31,), (1, 9)),
    "points": (lambda x: mel_points(x, 0, 99), "count", (2**31,), (1, 9)),
    "lags": (lambda x: likeness(torch.rand(20), x), "lags", (2**31,), (2, 9)),
    "mask's hop": (lambda x: frame_mask(torch.ones(1, 9).bool(), x), "hop", (2**31,), (1, 9)),
    "hidden": (lambda x: EarlyFusion(WIDTHS, 3, x), "hidden", (2**31,), (1, 2)),
    "outputs": (lambda x: LateFusion(WIDTHS, x, 3), "outputs", (2**31,), (1, 2)),
    "fusion depth": (lambda x: AttentionFusion(WIDTHS, 3, 4, 2, 4, x), "depth", (2**31,), (1, 2)),
    "hop": (lambda x: tempo(torch.rand(99), 8000, x), "hop", (2**31,), (80, 100)),
}
FROM_ZERO = {
    "captions": (lambda x: captioned(x, [("red", "star")]), "count", (2**31,), (0, 2)),
    "clips of digits": (lambda x: digits(count=x), "count", (2**31,), (0, 2)),
    "scenes": (lambda x: sample_scenes(x, [("red", "star")]), "count", (2**31,), (0, 2)),
    "shift": (lambda x: random_shift(torch.rand(1, 1, 4, 4), generator(), x), "most", (), (0, 3)),
    "step": (lambda x: competence(x, 9), "step", (), (0, 9, 99)),
    "seed": (lambda x: seeded(x, 3), "seed", (), (0, 2**43)),
}
NUMBERS = {
    "pairs": (lambda x: captioned(1, [("red", "star")], pairs=x), "pairs", (-0.1, 1.1), (0, 1)),
    "said": (lambda x: captioned(1, [("red", "star")], places=x), "places", (-0.1, 1.1), (0, 1)),
    "competence": (lambda x: competence(1, 9, x), "start", (-0.1, 1.1), (0, 0.5, 1)),
    "growing": (lambda x: growing_batches(ONES, 2, 9, x), "start", (0, 1.1), (0.1, 1)),
    "ratio": (lambda x: ratio_weights(ONES, ONES, x), "temperature", (0, -1), (0.1, 9)),
    "LossRatio": (lambda x: LossRatio(["a"], temperature=x), "temperature", (0, -1), (0.1, 9)),
    "rate": (lambda x: tempo(torch.rand(99), x, 100), "rate", (0, -1), (8000, 8000.0)),
    "seconds": (lambda x: sound_of_scene(SCENE, 8000, x), "seconds", (0, -1, 1e12), (0.1, 1)),
    "arc": (lambda x: slerp(torch.eye(3), torch.ones(3, 3), x), "share", (), (0, 1, -0.5)),
    "colours": (lambda x: match_colours(IMAGE, IMAGE, x), "epsilon", (-1,), (0, 1e-5)),
    "KL": (lambda x: vae_loss(IMAGE, IMAGE, GAUSSIAN, x), "kl_weight", (-1,), (0, 1e-5)),
    "floor": (lambda x: decibels(ONES, floor=x), "floor", (0, -1), (1e-9, 1)),
    "reference": (lambda x: decibels(ONES, x), "reference", (0, -1), (1e-9, 1)),
    "low": (lambda x: mel_points(3, x, 99), "low", (-1,), (0, 50.0)),
    "high": (lambda x: mel_points(3, 0, x), "high", (-1,), (99, 50.0)),
    "cutoff": (lambda x: windowed_sinc(ONES, x), "cutoff", (0, -1, 2), (0.1, 1)),
    "decay": (lambda x: decay_groups(LINEAR, x), "weight_decay", (-1,), (0, 0.1)),
    "part": (lambda x: param_groups(LINEAR, {"0": x}), "learning rate factor of '0'", (0, -1), (0.1, 2)),
    "weight": (
        lambda x: Stage("s", 1, int, {"a": 1, "b": x}), "weight of 'b' in stage 's'", (), (0, -1)
    ),
}  # fmt: skip


IN_WORDS_OF_THEIR_OWN = {  # what is below the least, or larger than something else
    "frame": (lambda x: frame(SOUND, x, 4), "length", (2**31,), (1, 9)),
    "frame's hop": (lambda x: frame(SOUND, 9, x), "hop", (2**31,), (1, 99)),
    "spectrum's hop": (lambda x: stft(SOUND, 8, x), "hop", (2**31,), (1, 9)),
    "window": (hann, "length", (2**31,), (1, 9)),
    "mels": (lambda x: mel_filters(8000, 64, x), "mels", (2**31,), (1, 9)),
    "mels' size": (lambda x: mel_filters(8000, x, 4), "size", (2**31,), (1, 64)),
    "waves": (lambda x: dct(x, 9), "count", (2**31,), (1, 9)),
    "heads": (lambda x: MultiHeadAttention(4, x), "heads", (8,), (1, 2)),
    "tokens": (
        lambda x: BottleneckFusion(WIDTHS, 3, 4, 2, 4, 1, x),
        "bottlenecks",
        (2**31,),
        (1, 2),
    ),
    "fused": (
        lambda x: AttentionFusion({"a": x}, 3, 4, 2, 4),
        "width of modality 'a'",
        (2**31,),
        (1, 2),
    ),
    "LSTM": (lambda x: LSTM(3, 4, layers=x), "layers", (2**31,), (1, 2)),
    "merges": (lambda x: BytePairEncoding.train("aaaa", x), "merges", (), (0, 9)),
    "pieces": (lambda x: WordPiece.train("aaaa", x), "merges", (), (0, 9)),
    "grown": (lambda x: grow_mask(torch.ones(1, 1, 4, 4).bool(), x), "pixels", (2**31,), (0, 2)),
    "ends": (lambda x: pad_ends(SOUND, x, "constant"), "count", (2**31,), (0, 2)),
}


def hold(call, name, wrong, right):
    for value in wrong:
        started = time.perf_counter()
        with pytest.raises(ValueError, match=f"^{name} is ") as refusal:
            call(value)
        said = str(refusal.value)
        assert "must be a" in said and len(said) < 150
        assert str(value) in said or len(str(value)) > 40
        assert time.perf_counter() - started < 1
    for value in right:
        call(value)


@pytest.mark.parametrize("case", COUNTS)
def test_counts(case):
    call, name, more, right = COUNTS[case]
    hold(call, name, (*NO_COUNT, *more), right)


@pytest.mark.parametrize("case", FROM_ZERO)
def test_counts_from_zero(case):
    call, name, more, right = FROM_ZERO[case]
    hold(call, name, (*NO_COUNT[1:], *more), right)


@pytest.mark.parametrize("case", NUMBERS)
def test_shares_and_other_numbers(case):
    call, name, more, right = NUMBERS[case]
    hold(call, name, (*NO_NUMBER, *more), right)


@pytest.mark.parametrize("case", IN_WORDS_OF_THEIR_OWN)
def test_counts_that_are_refused_in_words_of_their_own(case):
    call, name, more, right = IN_WORDS_OF_THEIR_OWN[case]
    hold(call, name, (True,), ())
    for value in (-1, 2.5, math.nan, math.inf, 10**13, *more):
        with pytest.raises(ValueError) as refusal:
            call(value)
        assert str(value) in str(refusal.value)
    for value in right:
        call(value)


def test_the_step_of_a_seed_may_lie_below_zero():
    wrong = (2.5, True, math.nan, math.inf, 10**14, -(10**14))
    hold(lambda x: seeded(3, x), "step", wrong, (-1, -7, 0, -(2**43), 2**43))
    drawn = {
        torch.rand(1, generator=seeded(seed, -step)).item() for seed in (0, 1) for step in (1, 2)
    }
    assert len(drawn) == 4


def test_a_sampler_draws_a_count_or_as_many_as_there_are():
    wrong = [value for value in NO_COUNT if value is not None]
    hold(lambda x: BalancedSampler(LABELS, x), "count", (*wrong, 2**31), (1, 9, None))


def test_more_pixels_than_a_memory_holds_are_counted_before_they_are_drawn():
    many = [SCENE] * 9
    for call in (
        lambda: draw_many(many, 2**14),
        lambda: coverage(SCENE.things * 9, 2**14),
        lambda: control_images(many, KINDS[1], 2**14),
        lambda: draw_clips([Clip(SCENE)], 9, 2**14),
        lambda: digits(frames=3, count=3, size=2**14),
    ):
        with pytest.raises(ValueError, match="^9 images of size 16384 have 2415919104 pixels"):
            call()
