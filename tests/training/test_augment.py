import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from scratchmm.training.augment import mirror, mix_colors, random_shift, shift_and_flip
from shape_comments import check_shape_comments


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


@settings(max_examples=30, deadline=None)
@given(
    st.integers(1, 4), st.integers(1, 3), st.integers(4, 7), st.integers(4, 9), st.integers(0, 3)
)
def test_each_image_is_one_of_its_shifts(batch, channels, height, width, most):
    images = torch.randn(batch, channels, height, width, generator=generator())
    moved = random_shift(images, generator(1), most)
    assert moved.shape == images.shape
    for before, after in zip(images, moved, strict=True):
        possible = []
        for down in range(-most, most + 1):
            for across in range(-most, most + 1):
                rows = (torch.arange(height) + down).clamp(0, height - 1)
                columns = (torch.arange(width) + across).clamp(0, width - 1)
                possible.append(before[:, rows][:, :, columns])
        assert any(torch.equal(after, shifted) for shifted in possible)


def test_images_move_on_their_own_and_in_every_direction():
    one = torch.zeros(1, 1, 9, 9)
    one[..., 4, 4] = 1.0
    moved = random_shift(one.repeat(600, 1, 1, 1), generator(), 2)
    places = {tuple(place.tolist()) for place in moved[:, 0].nonzero()[:, 1:]}
    assert places == {(row, column) for row in range(2, 7) for column in range(2, 7)}


def test_the_generator_alone_decides():
    images = torch.randn(5, 2, 6, 8, generator=generator())
    for change in (random_shift, mirror, shift_and_flip):
        torch.manual_seed(1)
        first = change(images, generator(3))
        torch.manual_seed(2)
        torch.testing.assert_close(change(images, generator(3)), first, rtol=0, atol=0)
        assert not torch.equal(change(images, generator(4)), first)


def test_about_half_are_mirrored_after_the_same_shift():
    ramp = torch.arange(8.0).expand(400, 1, 6, 8)  # brighter to the right
    changed = shift_and_flip(ramp, generator())
    moved = random_shift(ramp, generator())
    mirrored = changed[:, 0, 0, 0] > changed[:, 0, 0, -1]
    assert 150 < mirrored.sum() < 250
    torch.testing.assert_close(changed[~mirrored], moved[~mirrored], rtol=0, atol=0)
    torch.testing.assert_close(changed[mirrored].flip(-1), moved[mirrored], rtol=0, atol=0)


def test_mirrored_means_turned_round_and_nothing_else():
    images = torch.randn(400, 2, 3, 5, generator=generator())
    changed = mirror(images, generator())
    turned = torch.tensor([torch.equal(a, b.flip(-1)) for a, b in zip(changed, images)])
    kept = torch.tensor([torch.equal(a, b) for a, b in zip(changed, images)])
    assert (turned != kept).all() and 150 < turned.sum() < 250


def test_mixed_colours_are_means_and_shapes_stay():
    images = torch.rand(5, 3, 4, 6)
    mixed = mix_colors(images, torch.Generator().manual_seed(0))
    assert mixed.shape == images.shape
    low, high = images.amin(1, keepdim=True), images.amax(1, keepdim=True)
    assert (mixed >= low - 1e-6).all() and (mixed <= high + 1e-6).all()
    for b in range(5):  # the same mixture at every pixel, another one in each image
        pixels, wanted = images[b].flatten(1).T, mixed[b].flatten(1).T
        shares = torch.linalg.lstsq(pixels, wanted).solution.T
        torch.testing.assert_close(shares.sum(dim=1), torch.ones(3), rtol=0, atol=1e-4)
        torch.testing.assert_close(shares @ pixels.T, wanted.T, rtol=0, atol=1e-4)
    assert not torch.equal(mixed[0] - images[0], mixed[1] - images[1])
    torch.testing.assert_close(mixed, mix_colors(images, torch.Generator().manual_seed(0)))


def run_shapes() -> None:
    import torch

    from scratchmm.training import augment

    augment.random_shift(torch.randn(2, 3, 4, 5), torch.Generator(), most=1)


def test_shape_comments_are_true() -> None:
    check_shape_comments(run_shapes, "training/augment.py")
