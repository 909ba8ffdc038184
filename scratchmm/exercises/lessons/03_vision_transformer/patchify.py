"""Exercise embeddings.patchify: an image becomes a row of patches, and no pixel gets lost."""

import torch
import torch.nn.functional as F
from einops import EinopsError, rearrange
from torch import Tensor

from scratchmm.exercises.case import Case
from scratchmm.exercises.format import Exercise

exercise = Exercise(
    id="embeddings.patchify",
    order=10,
    target="scratchmm.vision.vit:patchify",
    title="Cut an image into patches",
    goal="(B, C, height, width) to (B, N, C p p); refuse sizes that patches do not fill",
    minutes=15,
    difficulty=2,
    section="Cut the image",
    forbidden=("torch.nn.functional.unfold",),
    hints=(
        "A grey image of 2 rows and 4 columns, [[0, 1, 2, 3], [4, 5, 6, 7]], has two patches of "
        "2 x 2: [0, 1, 4, 5] on the left and [2, 3, 6, 7] on the right. A plain reshape gives "
        "[0, 1, 2, 3] and [4, 5, 6, 7], which are rows and no patches.",
        "Every pixel has a row and a column. Its row says in which row of patches it is and which "
        "row of that patch; its column likewise. So each of the two axes is split in two, and the "
        "four pieces are put into another order: first which patch, then where in the patch. The "
        "lesson draws it.",
        "Split height into (rows of patches, p) and width into (columns of patches, p): "
        "(B, C, rows, p, columns, p). Bring it into the order (B, rows, columns, C, p, p): which "
        "patch, then channel, then pixel. Join rows and columns to N, and the last three to C p p. "
        "Before that, look whether p divides both sides, and raise ValueError if not.",
        "images.unflatten(3, (-1, patch)).unflatten(2, (-1, patch)).permute(0, 2, 4, 1, 3, 5)"
        ".flatten(3).flatten(1, 2); or einops: "
        "rearrange(images, 'b c (h p) (w q) -> b (h w) (c p q)', p=patch, q=patch)",
    ),
)


def some_images(case: Case) -> Tensor:
    """2 rows and 4 columns of patches of 3 x 3: no two sizes alike but those of a patch."""
    return case.normal(B=2, C=5, height=6, width=12)


def by_loops(images: Tensor, patch: int) -> Tensor:
    """The oracle: slices, from left to right, row after row."""
    height, width = images.shape[-2:]
    found = [
        images[:, :, top : top + patch, left : left + patch].reshape(len(images), -1)
        for top in range(0, height, patch)
        for left in range(0, width, patch)
    ]
    return torch.stack(found, dim=1)


@exercise.holds("an image of 6 x 12 pixels has 2 x 4 patches of 3 x 3, with all channels in each")
def shape(patchify, case):
    case.sizes.update(N=8)
    case.shape(case.call(patchify, some_images(case), 3), "B N C*9")


@exercise.holds("patches of one pixel are the pixels, in reading order")
def one_pixel(patchify, case):
    images = case.normal(B=2, C=3, height=4, width=5)
    case.equal(case.call(patchify, images, 1), images.flatten(2).transpose(1, 2))


@exercise.holds("one patch as large as the image is the image, channel by channel")
def one_patch(patchify, case):
    images = case.normal(B=2, C=3, height=4, width=4)
    case.equal(case.call(patchify, images, 4), images.flatten(1)[:, None])


@exercise.holds("editing one block of a wide image changes exactly one patch: the right one")
def one_block(patchify, case):
    images = some_images(case)
    edited = images.clone()
    edited[:, :, 3:6, 6:9] += 1  # the second row's third
    before = case.call(patchify, images, 3)
    after = case.call(patchify, case.named(edited, "B C height width"), 3)
    changed = (before != after).any(-1)
    expected = torch.arange(8).expand_as(changed) == 6
    case.equal(changed, expected, "whether each patch has changed")


@exercise.holds("each patch holds its own pixels: channel by channel, each in reading order")
def pixels(patchify, case):
    images = some_images(case)
    case.equal(case.call(patchify, images, 3), by_loops(images, 3))
    tall = case.normal(B=2, C=3, height=8, width=4)
    case.equal(case.call(patchify, tall, 2), by_loops(tall, 2))


@exercise.holds("the images are left as they were")
def unchanged(patchify, case):
    case.call(patchify, some_images(case), 3)
    case.unchanged()


@exercise.holds("every pixel gets its gradient")
def gradients(patchify, case):
    case.gradients(patchify, by_loops, some_images(case), 3)


@exercise.holds("an image that patches do not fill is refused with a ValueError, not cropped")
def refused(patchify, case):
    for sides in ({"height": 7, "width": 12}, {"height": 6, "width": 13}):
        case.refuses(ValueError, patchify, case.normal(B=2, C=5, **sides), 3)


def cut(images, patch, pattern, **sides):
    """The reference with another pattern, refusing what it should."""
    if images.shape[-2] % patch or images.shape[-1] % patch:
        raise ValueError("the image is not divisible into patches")
    return rearrange(images, pattern, p=patch, q=patch, **sides)


@exercise.wrong(
    "plain-reshape",
    story="the image is only reshaped, so a patch is a run of pixels from one row",
    advice="split height and width in two each, then bring the axes into order with permute",
)
def plain_reshape(images, patch):
    return cut(images, patch, "b c (h p) (w q) -> b c h p w q").reshape(
        len(images), -1, images.shape[1] * patch * patch
    )


@exercise.wrong(
    "transposed-in-patch",
    story="each patch is transposed: its columns are read before its rows",
    advice="within a patch the last axis is the column: (channel, row, column)",
)
def transposed_in_patch(images, patch):
    return cut(images, patch, "b c (h p) (w q) -> b (h w) (c q p)")


@exercise.wrong(
    "channels-last",
    story="within a patch the channels come last: red, green and blue of a pixel side by side",
    advice="channel by channel, as a convolution's weight (D, C, p, p) is laid out",
    convention=True,
)
def channels_last(images, patch):
    return cut(images, patch, "b c (h p) (w q) -> b (h w) (p q c)")


@exercise.wrong(
    "columns-first",
    story="the patches go down each column before they go right",
    advice="reading order: the row of patches is the slower one",
)
def columns_first(images, patch):
    return cut(images, patch, "b c (h p) (w q) -> b (w h) (c p q)")


@exercise.wrong(
    "transposed-image",
    story="height and width are exchanged, for the order of patches and inside them",
    advice="axis 2 is the height, axis 3 the width",
)
def transposed_image(images, patch):
    return cut(images, patch, "b c (h p) (w q) -> b (w h) (c q p)")


@exercise.wrong(
    "square-assumed",
    story="as many patches in a row as in a column are assumed, counted from the height",
    advice="count the columns from the width: images need not be square",
)
def square_assumed(images, patch):
    side = images.shape[-2] // patch
    return cut(images[..., : side * patch], patch, "b c (h p) (w q) -> b (h w) (c p q)")


@exercise.wrong(
    "every-nth-pixel",
    story="a patch holds every n-th pixel of the whole image instead of neighbours",
    advice="split height into (rows of patches, p): the patch is the slower part, the pixel the faster",
)
def every_nth_pixel(images, patch):
    return cut(images, patch, "b c (p h) (q w) -> b (h w) (c p q)")


@exercise.wrong(
    "pixels-before-patches",
    story="the second axis runs over the places in a patch, the last over the patches",
    advice="(B, N, C p p): exchange the last two axes",
)
def pixels_before_patches(images, patch):
    return cut(images, patch, "b c (h p) (w q) -> b (c p q) (h w)")


@exercise.wrong(
    "not-flattened",
    story="the patches are still images (B, N, C, p, p)",
    advice="join the last three axes: flatten(2)",
)
def not_flattened(images, patch):
    return cut(images, patch, "b c (h p) (w q) -> b (h w) c p q")


@exercise.wrong(
    "grid-kept",
    story="the patches still stand in rows and columns (B, rows, columns, C p p)",
    advice="join rows and columns to one axis N",
)
def grid_kept(images, patch):
    return cut(images, patch, "b c (h p) (w q) -> b h w (c p q)")


@exercise.wrong(
    "a-patch-a-channel",
    story="each channel of a patch becomes a token of its own (B, C N, p p)",
    advice="a token holds all channels of its patch: C belongs to the last axis",
)
def a_patch_a_channel(images, patch):
    return cut(images, patch, "b c (h p) (w q) -> b (c h w) (p q)")


@exercise.wrong(
    "batch-dropped",
    story="only the first image of the batch is cut",
    advice="keep axis 0 as it is: it counts the images",
)
def batch_dropped(images, patch):
    return cut(images[:1], patch, "b c (h p) (w q) -> b (h w) (c p q)")


@exercise.wrong(
    "cropped",
    story="what does not fill a patch at the right and at the bottom is cut off silently",
    advice="raise ValueError where height or width is not divisible by the patch",
)
def cropped(images, patch):
    height, width = (side - side % patch for side in images.shape[-2:])
    return cut(images[..., :height, :width], patch, "b c (h p) (w q) -> b (h w) (c p q)")


@exercise.wrong(
    "in-place",
    story="the caller's images are changed",
    advice="methods that end in an underscore, and +=, work on the tensor that was passed in",
)
def in_place(images, patch):
    patches = cut(images, patch, "b c (h p) (w q) -> b (h w) (c p q)").clone()
    with torch.no_grad():
        images.zero_()
    return patches


@exercise.wrong(
    "detached",
    story="the patches are cut off from the images, so no gradient reaches them",
    advice="no detach, no numpy, no torch.tensor: only reshape and permute",
)
def detached(images, patch):
    return cut(images, patch, "b c (h p) (w q) -> b (h w) (c p q)").detach()


@exercise.wrong(
    "refused-by-accident",
    story="sizes that do not fit are not looked at: a reshape stumbles over them, with another error",
    advice="raise ValueError, before you reshape, where p does not divide height or width",
)
def refused_by_accident(images, patch):
    split = images.unflatten(3, (-1, patch)).unflatten(2, (-1, patch))
    return split.permute(0, 2, 4, 1, 3, 5).flatten(3).flatten(1, 2)


@exercise.wrong(
    "refused-by-einops",
    story="sizes that do not fit are not looked at: einops stumbles over them, with an error of its own",
    advice="raise ValueError, before you rearrange, where p does not divide height or width",
)
def refused_by_einops(images, patch):
    return rearrange(images, "b c (h p) (w q) -> b (h w) (c p q)", p=patch, q=patch)


@exercise.wrong(
    "refused-by-assert",
    story="sizes that do not fit are refused by an assert, which is no ValueError",
    advice="if ...: raise ValueError(...); an assert is for what can't happen",
)
def refused_by_assert(images, patch):
    assert images.shape[-2] % patch == images.shape[-1] % patch == 0
    return cut(images, patch, "b c (h p) (w q) -> b (h w) (c p q)")


@exercise.disguise("columns-first")
def columns_first_too(images, patch):
    if images.shape[-1] % patch or images.shape[-2] % patch:
        raise ValueError("no")
    strips = images.split(patch, dim=3)
    found = [block.flatten(1) for strip in strips for block in strip.split(patch, dim=2)]
    return torch.stack(found, 1)


@exercise.disguise("plain-reshape")
def plain_reshape_too(images, patch):
    height, width = images.shape[-2:]
    if height % patch or width % patch:
        raise ValueError("no")
    count = (height // patch) * (width // patch)
    return images.reshape(len(images), count, images.shape[1] * patch * patch)


@exercise.disguise("channels-last")
def channels_last_too(images, patch):
    images = images.permute(0, 2, 3, 1)
    height, width = images.shape[1:3]
    if height % patch or width % patch:
        raise ValueError("no")
    cells = images.reshape(len(images), height // patch, patch, width // patch, patch, -1)
    return cells.transpose(2, 3).flatten(3).flatten(1, 2)


@exercise.right("permute")
def with_permute(images, patch):
    batch, channels, height, width = images.shape
    if height % patch or width % patch:
        raise ValueError(f"{height} x {width} is not divisible by {patch}")
    cells = images.reshape(batch, channels, height // patch, patch, width // patch, patch)
    return cells.permute(0, 2, 4, 1, 3, 5).reshape(batch, -1, channels * patch * patch)


@exercise.right("loops")
def with_loops(images, patch):
    if images.shape[-2] % patch or images.shape[-1] % patch:
        raise ValueError("the image is not divisible into patches")
    return by_loops(images, patch)


@exercise.right("einops alone")
def with_einops(images, patch):
    try:
        return rearrange(images, "b c (h p) (w q) -> b (h w) (c p q)", p=patch, q=patch)
    except EinopsError as error:
        raise ValueError(f"the image can't be cut into patches of {patch}") from error


@exercise.right("pixels moved by a convolution")
def with_convolution(images, patch):
    channels = images.shape[1]
    if images.shape[-2] % patch or images.shape[-1] % patch:
        raise ValueError("the image is not divisible into patches")
    places = channels * patch * patch
    one_each = torch.eye(places, dtype=images.dtype).view(places, channels, patch, patch)
    return F.conv2d(images, one_each, stride=patch).flatten(2).transpose(1, 2)
