"""Exercise embeddings.patchify: an image becomes a row of patches, and no pixel gets lost."""

import torch
import torch.nn.functional as F
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
    hints="""
        1. A grey image of 2 rows and 4 columns, [[0, 1, 2, 3], [4, 5, 6, 7]], has two patches of 2
           x 2: [0, 1, 4, 5] on the left and [2, 3, 6, 7] on the right. A plain reshape gives [0, 1,
           2, 3] and [4, 5, 6, 7], which are rows and no patches.
        2. The row of a pixel says in which row of patches it is and in which row of that patch; its
           column likewise. So each of the two axes is split in two, and the four pieces are put
           into another order: first which patch, then where in the patch. The lesson draws it.
        3. Refuse (ValueError) a height or width that p does not divide. Split both: (B, C, rows, p,
           columns, p). Bring it into the order (B, rows, columns, C, p, p): which patch, then
           channel, then pixel. Join rows and columns to N, and the last three to C p p.
        4. images.unflatten(3, (-1, patch)).unflatten(2, (-1, patch)).permute(0, 2, 4, 1, 3,
           5).flatten(3).flatten(1, 2); or einops: rearrange(images, 'b c (h p) (w q) -> b (h w) (c
           p q)', p=patch, q=patch)
    """,
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


@exercise.holds("the images are left as they were")
def unchanged(patchify, case):
    case.call(patchify, some_images(case), 3)
    case.unchanged()


@exercise.holds("patches of one pixel are the pixels, in reading order")
def one_pixel(patchify, case):
    images = case.normal(B=2, C=3, height=4, width=5)
    case.equal(case.call(patchify, images, 1), images.flatten(2).transpose(1, 2))


@exercise.holds("one patch as large as the image is the image, channel by channel")
def one_patch(patchify, case):
    images = case.normal(B=2, C=3, height=4, width=4)
    case.equal(case.call(patchify, images, 4), images.flatten(1)[:, None])


@exercise.holds("each patch holds its own pixels: channel by channel, each in reading order")
def pixels(patchify, case):
    images = some_images(case)
    case.equal(case.call(patchify, images, 3), by_loops(images, 3))
    tall = case.normal(B=2, C=3, height=8, width=4)
    case.equal(case.call(patchify, tall, 2), by_loops(tall, 2))


@exercise.holds("every pixel gets its gradient")
def gradients(patchify, case):
    case.gradients(patchify, by_loops, some_images(case), 3)


@exercise.holds("an image that patches do not fill is refused with a ValueError, not cropped")
def refused(patchify, case):
    for sides in ({"height": 7, "width": 12}, {"height": 6, "width": 13}):
        case.refuses(ValueError, patchify, case.normal(B=2, C=5, **sides), 3)


exercise.mistakes("""
    plain-reshape: the image is only reshaped, so a patch is a run of pixels from one row
    - return rearrange(images, "b c (h p) (w q) -> b (h w) (c p q)", p=patch, q=patch)
    + return images.reshape(len(images), -1, images.shape[1] * patch**2)
    > split height and width in two each, then bring the axes into order with permute

    transposed-in-patch: each patch is transposed: column by column
    - "b c (h p) (w q) -> b (h w) (c p q)"
    + "b c (h p) (w q) -> b (h w) (c q p)"
    > within a patch the last axis is the column: (channel, row, column)

    channels-last [convention]: within a patch the channels come last: red, green and blue of a
    pixel side by side
    - "b c (h p) (w q) -> b (h w) (c p q)"
    + "b c (h p) (w q) -> b (h w) (p q c)"
    > channel by channel, as a convolution's weight (D, C, p, p) is laid out

    columns-first: the patches go down each column before they go right
    - "b c (h p) (w q) -> b (h w) (c p q)"
    + "b c (h p) (w q) -> b (w h) (c p q)"
    > reading order: the row of patches is the slower axis

    every-nth-pixel: a patch holds every n-th pixel of the whole image instead of neighbours
    - "b c (h p) (w q) -> b (h w) (c p q)"
    + "b c (p h) (q w) -> b (h w) (c p q)"
    > split height into (rows of patches, p): the patch is the slower axis, the pixel the faster

    square-assumed: as many patches in a row as in a column are assumed, counted from the height
    - return rearrange(images, "b c (h p) (w q) -> b (h w) (c p q)", p=patch, q=patch)
    + square = images[..., : images.shape[-2]]
    + return rearrange(square, "b c (h p) (w q) -> b (h w) (c p q)", p=patch, q=patch)
    > count the columns from the width: images need not be square

    cropped: what does not fill a patch at the right and at the bottom is cut off silently
    - check_divisible("image height", images.shape[-2], "patch size", patch)
    - check_divisible("image width", images.shape[-1], "patch size", patch)
    + height, width = (side - side % patch for side in images.shape[-2:])
    + images = images[..., :height, :width]
    > raise ValueError where height or width is not divisible by the patch

    in-place: the caller's images are changed
    - return rearrange(images, "b c (h p) (w q) -> b (h w) (c p q)", p=patch, q=patch)
    + patches = images.clone()
    + images.data.zero_()
    + return rearrange(patches, "b c (h p) (w q) -> b (h w) (c p q)", p=patch, q=patch)
    > methods that end in an underscore, and +=, change the tensor that was passed in

    refused-by-accident: sizes that do not fit are not checked: a reshape stops at them, with
    another error
    - check_divisible("image height", images.shape[-2], "patch size", patch)
    - check_divisible("image width", images.shape[-1], "patch size", patch)
    - return rearrange(images, "b c (h p) (w q) -> b (h w) (c p q)", p=patch, q=patch)
    + split = images.unflatten(3, (-1, patch)).unflatten(2, (-1, patch))
    + return split.permute(0, 2, 4, 1, 3, 5).flatten(3).flatten(1, 2)
    > raise ValueError, before you reshape, where p does not divide height or width

    refused-by-einops: sizes that do not fit are not checked: einops stops at them, with an error of
    its own
    - check_divisible("image height", images.shape[-2], "patch size", patch)
    - check_divisible("image width", images.shape[-1], "patch size", patch)
    > raise ValueError, before you rearrange, where p does not divide height or width
""")

exercise.slips("""
    "b c (h p) (w q) -> b (h w) (c p q)" => "b c (h p) (w q) -> b (w h) (c q p)"
    "b c (h p) (w q) -> b (h w) (c p q)" => "b c (h p) (w q) -> b (c p q) (h w)"
    "b c (h p) (w q) -> b (h w) (c p q)" => "b c (h p) (w q) -> b (h w) c p q"
    "b c (h p) (w q) -> b (h w) (c p q)" => "b c (h p) (w q) -> b h w (c p q)"
    "b c (h p) (w q) -> b (h w) (c p q)" => "b c (h p) (w q) -> b (c h w) (p q)"
    rearrange(images, "b c (h p) (w q) -> b (h w) (c p q)", p=patch, q=patch)
        => rearrange(images[:1], "b c (h p) (w q) -> b (h w) (c p q)", p=patch, q=patch)
    check_divisible("image height", images.shape[-2], "patch size", patch) =>
        assert images.shape[-2] % patch == 0 ;;
        check_divisible("image width", images.shape[-1], "patch size", patch) =>
        assert images.shape[-1] % patch == 0
    rearrange(images, "b c (h p) (w q) -> b (h w) (c p q)", p=patch, q=patch) =>
        rearrange(images, "b c (h p) (w q) -> b (c h w p q)", p=patch, q=patch).unflatten(1, (-1,
        images.shape[1] * patch**2))
""")


@exercise.right("permute")
def with_permute(images, patch):
    batch, channels, height, width = images.shape
    if height % patch or width % patch:
        raise ValueError(f"{height} x {width} is not divisible by {patch}")
    cells = images.reshape(batch, channels, height // patch, patch, width // patch, patch)
    return cells.permute(0, 2, 4, 1, 3, 5).reshape(batch, -1, channels * patch * patch)


@exercise.right("pixels moved by a convolution")
def with_convolution(images, patch):
    channels = images.shape[1]
    if images.shape[-2] % patch or images.shape[-1] % patch:
        raise ValueError("the image is not divisible into patches")
    places = channels * patch * patch
    one_each = torch.eye(places, dtype=images.dtype).view(places, channels, patch, patch)
    return F.conv2d(images, one_each, stride=patch).flatten(2).transpose(1, 2)
