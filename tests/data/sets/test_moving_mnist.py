from collections import Counter

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st

from scratchmm.data.sets.mnist import load_mnist
from scratchmm.data.sets.moving_mnist import (
    PART,
    bounce,
    direction_names,
    sample_moving_digits,
)

seeds = st.integers(0, 2**32 - 1)


def some_images(count, side=28):
    """Grey stand-ins for digits, no two alike, and labels that are not their places."""
    images = torch.rand(count, 1, side, side, generator=torch.Generator().manual_seed(count))
    return images * 1.5 - 0.5, torch.arange(count) * 7 % 10


def sampled(seed, count=3, **more):
    images, labels = some_images(5)
    return sample_moving_digits(np.random.default_rng(seed), images, labels, count, **more)


@settings(deadline=None, max_examples=30)
@given(seeds, st.integers(1, 3), st.integers(1, 9), st.integers(9, 40))
def test_every_clip_is_what_pasting_one_digit_after_the_other_gives(seed, digits, frames, size):
    images = torch.linspace(-0.9, 1, 5)[:, None, None, None].expand(5, 1, 28, 28)
    labels = torch.tensor([3, 1, 4, 0, 9])
    rng = np.random.default_rng(seed)
    moving = sample_moving_digits(rng, images, labels, 4, digits=digits, frames=frames, size=size)
    assert moving.clips.shape == (4, frames, 1, size, size)
    assert moving.clips.dtype == torch.float32 and moving.digits.dtype == torch.int64
    grey = dict(zip(labels.tolist(), torch.linspace(-0.9, 1, 5).tolist()))
    side = round(size * PART)
    for clip, names, where in zip(moving.clips, moving.digits.tolist(), moving.places):
        for frame, middles in zip(clip, where):
            expected = torch.full((size, size), -1.0)
            for name, (x, y) in zip(names, middles.tolist()):
                left, top = round(x * size - side / 2), round(y * size - side / 2)
                assert 0 <= left <= size - side and 0 <= top <= size - side
                spot = expected[top : top + side, left : left + side]
                spot.copy_(spot.clamp(min=grey[name]))
            torch.testing.assert_close(frame[0], expected)


def test_a_full_size_digit_is_pasted_as_it_is_and_a_smaller_one_is_its_mean():
    images, labels = some_images(5)
    for size, factor in ((64, 1), (32, 2)):
        moving = sampled(1, 6, digits=1, frames=2, size=size)
        for clip, name, where in zip(moving.clips, moving.digits, moving.places):
            image = F.avg_pool2d(images[labels == name], factor)[0, 0]
            left, top = (where[0, 0] * size - len(image) / 2).round().long().tolist()
            shown = clip[0, 0, top : top + len(image), left : left + len(image)]
            torch.testing.assert_close(shown, image)


@settings(deadline=None, max_examples=30)
@given(seeds, st.sampled_from([4, 8]))
def test_digits_go_the_way_their_label_says_until_a_border_turns_them(seed, ways):
    moving = sampled(seed, 7, digits=1, frames=3, size=200, ways=ways)
    light = moving.clips[:, :, 0] + 1
    pixel = torch.arange(200) + 0.5
    total = light.sum((-1, -2))
    across = (light.sum(-2) * pixel).sum(-1) / total  # (clip, frame)
    down = (light.sum(-1) * pixel).sum(-1) / total
    steps = {"right": (1, 0), "left": (-1, 0), "down": (0, 1), "up": (0, -1)}
    for way, x, y in zip(moving.ways[:, 0].tolist(), across, down):
        words = direction_names(ways)[way].split(" and ")
        expected = [sum(steps[word][axis] for word in words) for axis in (0, 1)]
        for before, after in ((0, 1), (1, 2)):  # both steps are straight
            gone = [float(track[after] - track[before]) for track in (x, y)]
            room = 200 - round(200 * PART)
            length = (gone[0] ** 2 + gone[1] ** 2) ** 0.5
            assert 0.06 * room - 1.5 < length < 0.1 * room + 1.5
            assert [round(part / length * 1.2) for part in gone] == expected


@settings(deadline=None, max_examples=40)
@given(seeds, st.integers(1, 60), st.sampled_from([4, 8]))
def test_bouncing_is_walking_and_turning_at_the_borders(seed, frames, ways):
    rng = np.random.default_rng(seed)
    start, speed = torch.from_numpy(rng.random((2, 3, 2))), torch.from_numpy(rng.random((2, 3)))
    way = torch.from_numpy(rng.integers(ways, size=(2, 3)))
    found = bounce(start, speed, way, ways, frames)
    assert found.shape == (2, frames, 3, 2)
    for clip in range(2):
        for thing in range(3):
            angle = 2 * np.pi / ways * int(way[clip, thing])
            for axis, part in enumerate((np.cos(angle), np.sin(angle))):
                at, step = float(start[clip, thing, axis]), float(speed[clip, thing]) * part
                for frame in range(frames):
                    assert abs(found[clip, frame, thing, axis] - at) < 1e-9
                    at += step
                    while not 0 <= at <= 1:
                        at, step = (-at if at < 0 else 2 - at), -step


def test_the_first_frame_does_not_tell_the_way_and_all_are_as_frequent():
    moving = sampled(0, 4000, frames=1, size=8)
    assert min(Counter(moving.ways.flatten().tolist()).values()) > 850
    assert len(set(moving.ways.flatten().tolist())) == 8
    assert min(Counter(moving.digits.flatten().tolist()).values()) > 1400
    for way in range(8):
        middle = moving.places[:, 0][moving.ways == way].mean(0)
        assert (middle - 0.5).abs().max() < 0.02
    pairs = Counter(map(tuple, moving.ways.tolist()))
    assert len(pairs) == 64 and min(pairs.values()) > 30  # one digit's way says nothing


def test_one_seed_is_one_batch():
    one, same, other = sampled(5), sampled(5), sampled(6)
    for left, right in zip(one, same):
        assert torch.equal(left, right)
    assert not torch.equal(one.clips, other.clips)


def test_no_clips_and_tiny_images():
    assert sampled(0, 0).clips.shape == (0, 20, 1, 64, 64)
    assert sampled(0, 2, size=1, frames=1).clips.shape == (2, 1, 1, 1, 1)


def test_impossible_requests_are_refused():
    images, labels = some_images(5)
    for more, words in (
        ({"digits": 0}, "digits is 0 and must be"),
        ({"frames": 0}, "frames is 0 and must be"),
        ({"size": 0}, "size is 0 and must be"),
        ({"count": -1}, "count is -1 and must be"),
        ({"ways": 6}, "4 or 8 ways, not 6"),
    ):
        with pytest.raises(ValueError, match=words):
            sampled(0, **more)
    rng = np.random.default_rng(0)
    with pytest.raises(ValueError, match="5 images of digits and 4 labels"):
        sample_moving_digits(rng, images, labels[:4], 1)
    with pytest.raises(ValueError, match="0 images of digits and 0 labels"):
        sample_moving_digits(rng, images[:0], labels[:0], 1)
    with pytest.raises(ValueError, match=r"\(N, 1, H, W\), not \(5, 28, 28\)"):
        sample_moving_digits(rng, images[:, 0], labels, 1)


def test_real_digits_keep_their_labels(real_data):
    images, labels, _ = load_mnist(real_data("mnist"), part="test")
    moving = sample_moving_digits(np.random.default_rng(0), images, labels, 50, digits=1, frames=1)
    for clip, name, where in zip(moving.clips, moving.digits[:, 0], moving.places[:, 0, 0]):
        left, top = (where * 64 - 14).round().long().tolist()
        shown = clip[0, :, top : top + 28, left : left + 28]
        assert bool((images[labels == name] == shown).flatten(1).all(1).any())
        assert abs(float(clip.add(1).sum() - shown.add(1).sum())) < 1e-2
