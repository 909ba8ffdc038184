import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Generator

from scratchmm.audio import augment
from shape_comments import check_shape_comments

LENGTHS = [1500, 700, 1100]


def batch(seed=0, lengths=LENGTHS, garbage=0.0):
    """Sounds of different loudness and length, and their mask; `garbage` stands in the padding."""
    real = torch.arange(max(lengths)) < torch.tensor(lengths)[:, None]
    torch.manual_seed(seed)
    sounds = torch.randn(real.shape) * torch.logspace(-3, 0, len(lengths))[:, None]
    return torch.where(real, sounds, garbage), real


def ratio(sound, noise):
    """Signal to noise in decibels, by an explicit sum."""
    power = [sum(x * x for x in samples.tolist()) for samples in (sound, noise)]
    return 10 * math.log10(power[0] / power[1])


def differs_from_uniform(values):
    """The largest distance between the numbers' distribution and the uniform one from 0 to 1."""
    steps = torch.linspace(0, 1, len(values), dtype=torch.float64)
    return (values.double().sort().values - steps).abs().max().item()


@pytest.mark.parametrize("decibels", [-6.0, 0.0, 17.0, 40.0])
def test_the_noise_is_as_loud_as_asked(decibels):
    sounds, real = batch(garbage=100.0)
    mixed = augment.add_noise(sounds.double(), Generator(), real, low=decibels, high=decibels)
    noise = (mixed - sounds).float()
    for row, length in enumerate(LENGTHS):
        got = ratio(sounds[row, :length], noise[row, :length])
        assert got == pytest.approx(decibels, abs=0.1)
        assert (noise[row, length:] == 0).all()


def test_the_ratio_is_drawn_for_each_sound_uniformly():
    torch.manual_seed(0)
    sounds = torch.randn(4000, 50, dtype=torch.float64)
    mixed = augment.add_noise(sounds, Generator().manual_seed(1), low=3, high=8)
    ratios = 10 * (sounds.square().sum(1) / (mixed - sounds).square().sum(1)).log10()
    assert differs_from_uniform((ratios - 3) / 5) < 0.03


def test_the_noise_is_white_and_every_sound_has_its_own():
    sounds = torch.ones(3, 40_000)
    noise = augment.add_noise(sounds, Generator(), low=0, high=0) - sounds
    torch.testing.assert_close(noise.mean(1), torch.zeros(3), rtol=0, atol=0.03)
    torch.testing.assert_close(torch.corrcoef(noise), torch.eye(3), rtol=0, atol=0.03)
    strengths = torch.fft.rfft(noise).abs().square()[:, 1:-1].unflatten(1, (7, -1)).mean(2)
    assert (strengths / strengths.mean(1, keepdim=True) - 1).abs().max() < 0.12


@settings(max_examples=30, deadline=None)
@given(
    st.lists(st.integers(1, 9), min_size=1, max_size=4),
    st.integers(0, 10**6),
    st.floats(-20, 40),
)
def test_mixing_is_what_a_loop_over_the_sounds_does(lengths, seed, decibels):
    sounds, real = batch(seed, lengths)
    sounds, noise = sounds.double(), torch.randn(sounds.shape, dtype=torch.float64)
    levels = decibels + torch.arange(float(len(lengths)), dtype=torch.float64)
    expected = sounds.clone()
    for row, length in enumerate(lengths):
        sound, alone = sounds[row, :length], noise[row, :length]
        wanted = sound.square().mean() / 10 ** (levels[row] / 10)
        expected[row, :length] += alone * (wanted / alone.square().mean()).sqrt()
    torch.testing.assert_close(augment.mix_noise(sounds, noise, levels, real), expected)


def test_silence_stays_silent_and_no_noise_is_no_noise():
    for sounds, noise in (
        (torch.zeros(2, 5), torch.ones(2, 5)),
        (torch.ones(2, 5), torch.zeros(2, 5)),
    ):
        torch.testing.assert_close(augment.mix_noise(sounds, noise, torch.zeros(2)), sounds)
    nothing = torch.zeros(2, 5, dtype=torch.bool)
    mixed = augment.mix_noise(torch.ones(2, 5), torch.ones(2, 5), torch.zeros(2), nothing)
    torch.testing.assert_close(mixed, torch.ones(2, 5))


@settings(max_examples=30, deadline=None)
@given(
    st.lists(st.integers(1, 9), min_size=1, max_size=4),
    st.lists(st.integers(-12, 12), min_size=4, max_size=4),
)
def test_moving_is_what_a_loop_over_the_samples_does(lengths, by):
    real = torch.arange(max(lengths)) < torch.tensor(lengths)[:, None]
    sounds = torch.arange(1.0, 1 + real.numel()).reshape(real.shape)
    expected = torch.zeros_like(sounds)
    for row, length in enumerate(lengths):
        for place in range(length):
            if 0 <= place - by[row] < length:
                expected[row, place] = sounds[row, place - by[row]]
    by = torch.tensor(by[: len(lengths)])
    torch.testing.assert_close(augment.move(sounds, by, real), expected, rtol=0, atol=0)


def test_a_sound_that_is_moved_later_does_not_go_on_in_its_padding():
    real = torch.arange(6) < torch.tensor([[3], [6]])
    moved = augment.move(torch.ones(2, 6), torch.tensor([1, 1]), real)
    assert moved.tolist() == [[0, 1, 1, 0, 0, 0], [0, 1, 1, 1, 1, 1]]


def test_shifts_are_whole_numbers_up_to_a_share_of_each_sound_all_equally_likely():
    lengths = torch.tensor([20, 10]).repeat(4000)
    real = torch.arange(25) < lengths[:, None]
    middle = torch.zeros(8000, 25).scatter_(1, lengths[:, None] // 2, 1.0)
    moved = augment.shift(middle, Generator().manual_seed(2), real, share=0.2)
    assert (moved.sum(1) == 1).all()
    by = moved.argmax(1) - lengths // 2
    for row, most in enumerate((4, 2)):
        values, counts = by[row::2].unique(return_counts=True)
        assert values.tolist() == list(range(-most, most + 1))
        assert (counts / 4000 - 1 / (2 * most + 1)).abs().max() < 0.03


@settings(max_examples=30, deadline=None)
@given(
    st.lists(st.integers(0, 12), min_size=1, max_size=4),
    st.integers(0, 3),
    st.sampled_from([0.0, 0.25, 0.5, 1.0]),
    st.integers(0, 10**6),
)
def test_spans_are_what_a_loop_over_them_draws(lengths, count, most, seed):
    torch.manual_seed(seed)
    shares = torch.rand(len(lengths), count, 2)
    expected = torch.zeros(len(lengths), 13, dtype=torch.bool)
    for row, length in enumerate(lengths):
        for first, second in shares[row].tolist():
            width = math.floor(first * (math.floor(most * length) + 1))
            start = math.floor(second * (length - width + 1))
            expected[row, start : start + width] = True
            assert start + width <= length
    assert torch.equal(augment.spans(shares, torch.tensor(lengths), most, size=13), expected)


def test_widths_and_places_are_uniform():
    lengths = torch.tensor([8, 20]).repeat(6000)
    holes = augment.spans(torch.rand(12_000, 1, 2, generator=Generator()), lengths, 0.5, 22)
    for row, length in enumerate((8, 20)):
        widths = holes[row::2].sum(1)
        values, counts = widths.unique(return_counts=True)
        assert values.tolist() == list(range(length // 2 + 1))
        assert (counts / 6000 - 1 / len(values)).abs().max() < 0.02
        first = holes[row::2].int().argmax(1)[widths == 3]
        values, counts = first.unique(return_counts=True)
        assert values.tolist() == list(range(length - 3 + 1))
        assert (counts / len(first) - 1 / len(values)).abs().max() < 0.05


@pytest.mark.parametrize("share", [1 - 2**-24, 1.0])
def test_the_highest_share_is_the_last_number_and_stays_in_the_row(share):
    shares = torch.full((1, 1, 2), share)
    assert augment.whole(shares[0, 0], torch.tensor(2)).tolist() == [2, 2]
    assert augment.spans(shares, torch.tensor([7]), 1.0, 9)[0].tolist() == [True] * 7 + [False] * 2
    assert augment.spans(shares, torch.tensor([7]), 0.5, 9)[0].nonzero().flatten().tolist() == [
        4,
        5,
        6,
    ]


def holes_of(before, after):
    return ~torch.isclose(before, after, rtol=0, atol=0)


def test_holes_are_whole_bands_or_whole_frames_filled_with_the_sounds_mean():
    torch.manual_seed(0)
    before, real = torch.randn(300, 10, 23), torch.arange(23) < torch.randint(5, 24, (300, 1))
    after = augment.spec_augment(before, Generator(), real, bands=0.4, frames=0.3, count=1)
    for sound, holed, length in zip(before, after, real.sum(1).tolist()):
        hole = holes_of(sound, holed)
        assert not hole[:, length:].any()
        hole = hole[:, :length]
        bands, frames = hole.all(1), hole.all(0)
        assert torch.equal(hole, bands[:, None] | frames)
        assert bands.sum() <= 4 and frames.sum() <= int(0.3 * length)
        filled = holed[:, :length][hole]
        torch.testing.assert_close(filled, sound[:, :length].mean().expand_as(filled))


def test_how_much_is_hidden_depends_on_a_sounds_own_length():
    before = torch.randn(6000, 5, 50)
    real = torch.arange(50) < torch.tensor([10, 50]).repeat(3000)[:, None]
    after = augment.spec_augment(before, Generator(), real, bands=0.0, frames=0.4, count=1)
    hidden = holes_of(before, after)[:, 0].sum(1).double()
    assert hidden[::2].max() == 4 and hidden[1::2].max() == 20
    assert hidden[::2].mean() == pytest.approx(2, abs=0.1)
    assert hidden[1::2].mean() == pytest.approx(10, abs=0.4)
    after = augment.spec_augment(before, Generator(), real, bands=0.0, frames=0.4, count=3)
    twice = holes_of(before, after)[1::2, 0].sum(1)
    assert twice.max() > 30


def test_holes_over_bands_tell_nothing_of_holes_over_frames():
    before = torch.randn(3000, 20, 20, generator=Generator())
    after = augment.spec_augment(before, Generator(), bands=0.5, frames=0.5, count=1)
    hole = holes_of(before, after)
    widths = torch.stack([hole.all(2).sum(1), hole.all(1).sum(1)]).double()
    firsts = torch.stack([hole.all(2).int().argmax(1), hole.all(1).int().argmax(1)]).double()
    for pair in (widths, firsts):
        assert pair.std(1).min() > 2 and torch.corrcoef(pair)[0, 1].abs() < 0.06


CALLS = {
    "add_noise": lambda sounds, generator, real: augment.add_noise(sounds, generator, real),
    "shift": lambda sounds, generator, real: augment.shift(sounds, generator, real, share=0.4),
    "spec_augment": lambda sounds, generator, real: augment.spec_augment(
        sounds[:, None].expand(-1, 6, -1), generator, real
    ),
}


@pytest.mark.parametrize("name", CALLS)
def test_all_chance_is_the_generators_and_the_input_stays(name):
    sounds, real = batch()
    before, generator, state = sounds.clone(), Generator().manual_seed(3), torch.get_rng_state()
    one, other = (CALLS[name](sounds, generator, real) for _ in range(2))
    again = CALLS[name](sounds, Generator().manual_seed(3), real)
    assert torch.equal(one, again) and not torch.equal(one, other)
    assert torch.equal(state, torch.get_rng_state()) and torch.equal(sounds, before)


@pytest.mark.parametrize("name", CALLS)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_padding_decides_nothing_and_nothing_is_ever_nan(name, dtype):
    sounds, real = batch()
    for lengths in ([0, 1, 5], [3, 0, 2]):
        real = torch.arange(5) < torch.tensor(lengths)[:, None]
        clean = torch.where(real, sounds[:, :5], 0.0).to(dtype)
        dirty = torch.where(real, clean, torch.nan)
        one, other = (CALLS[name](x, Generator(), real) for x in (clean, dirty))
        assert one.dtype == dtype and one.isfinite().all()
        where = real if one.dim() == 2 else real[:, None].expand_as(one)
        assert torch.equal(one[where], other[where])
    assert CALLS[name](sounds[:0], Generator(), real=None).shape[0] == 0
    assert CALLS[name](sounds[:, :0], Generator(), real=None).numel() == 0


def test_without_a_mask_all_is_real():
    sounds, _ = batch()
    everything = torch.ones_like(sounds, dtype=torch.bool)
    for call in CALLS.values():
        one, other = (call(sounds, Generator(), real) for real in (None, everything))
        torch.testing.assert_close(one, other)


@pytest.mark.parametrize(
    ("call", "sentence"),
    [
        (lambda x, g: augment.add_noise(x, g, low=9, high=2), "noise from 9 to 2 decibels"),
        (lambda x, g: augment.shift(x, g, share=1.5), "a share lies from 0 to 1, not at 1.5"),
        (lambda x, g: augment.spec_augment(x[None], g, bands=-0.1), "from 0 to 1, not at -0.1"),
        (lambda x, g: augment.spec_augment(x[None], g, frames=2), "from 0 to 1, not at 2"),
        (lambda x, g: augment.shift(x, g, x), r"mask is torch.float32 \(2, 7\).*bool \(2, 7\)"),
        (lambda x, g: augment.add_noise(x, g, x[:, 1:] > 0), r"mask is torch.bool \(2, 6\)"),
    ],
)
def test_what_cannot_be_is_refused_in_a_sentence(call, sentence):
    with pytest.raises(ValueError, match=sentence):
        call(torch.rand(2, 7), Generator())


def run_shapes() -> None:
    import torch

    from scratchmm.audio import augment as sound_augment

    real = torch.arange(9) < torch.tensor([[9], [6]])
    sound_augment.add_noise(torch.randn(2, 9), torch.Generator(), real)
    sound_augment.shift(torch.randn(2, 9), torch.Generator(), real)
    sound_augment.spec_augment(torch.randn(2, 5, 9), torch.Generator(), real, count=3)


def test_shape_comments_are_true() -> None:
    check_shape_comments(run_shapes, "audio/augment.py")
