"""Exercise vit.ViTEmbeddings: CLS, patches and positions become the sentence that a ViT reads."""

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from scratchmm.exercises.case import Case
from scratchmm.exercises.format import Exercise
from scratchmm.vision.vit import ViTConfig, resize_positions

exercise = Exercise(
    id="vit.ViTEmbeddings",
    order=30,
    target="scratchmm.vision.vit:ViTEmbeddings",
    title="CLS, patches, positions",
    goal="CLS before the patch tokens, then a position for each of the 1 + N",
    minutes=15,
    difficulty=3,
    section="CLS and positions",
    needs=("embeddings.patchify", "embeddings.PatchEmbedding"),
    methods={"forward": "CLS before the patch tokens, then a position for each of the 1 + N"},
    hints=(
        "Take width 1, a CLS token of 5, two patches that come out as 1 and 2, and positions "
        "[10, 20, 30]. The tokens are [15, 21, 32]: CLS comes first and has a position of its own, "
        "the first. For the second image of the batch CLS is 15 again.",
        "The transformer reads a set: without positions it can't know where a patch was. CLS is a "
        "token that belongs to no patch; it is learned, the same for every image, and gathers "
        "what the classifier reads. Positions are learned for one grid of patches. The lesson "
        "stretches that grid for an image of another size; CLS stands beside the grid and not on it.",
        "Patch tokens (B, N, D); the class token (D) as (B, 1, D), one an image; joined along the "
        "tokens to (B, 1 + N, D), CLS first. How many rows and columns of patches has this image? "
        "Resize positions[1:] from the config's grid to those: (N, D). Put positions[:1] before "
        "them, (1 + N, D), and add.",
        "tokens = self.patches(images); class_token = self.class_token.expand(len(images), 1, -1); "
        "tokens = torch.cat([class_token, tokens], dim=1); rows, columns = (side // "
        "self.patch_size for side in images.shape[-2:]); resized = resize_positions("
        "self.positions[1:], (self.grid, self.grid), (rows, columns)); return tokens + "
        "torch.cat([self.positions[:1], resized])",
    ),
)

CONFIG = ViTConfig(image_size=12, patch_size=3, width=10, depth=1, heads=2, hidden=7, channels=2)


def made(case: Case, factory: Any) -> Any:
    """One for images of 4 x 4 patches, with copied weights."""
    case.sizes.update(N=16, D=10)
    return case.build(factory, CONFIG)


def some_images(case: Case, height: int = 12, width: int = 12) -> Tensor:
    """As the config has them, or of another size."""
    return case.normal(B=3, C=2, height=height, width=width)


def seen(module: Any, images: Tensor) -> Tensor:
    """The patch tokens before positions, by a convolution with the same weights."""
    weight, bias = module.patches.projection.weight, module.patches.projection.bias
    return F.conv2d(images, weight.view(-1, 2, 3, 3), bias, stride=3).flatten(2).transpose(1, 2)


def stretched(positions: Tensor, rows: int, columns: int) -> Tensor:
    """The grid of 4 x 4 positions for another grid."""
    grid = positions.T.reshape(1, -1, 4, 4)
    grid = F.interpolate(grid, size=(rows, columns), mode="bicubic", align_corners=False)
    return grid.flatten(2)[0].T


def by_rows(module: Any, images: Tensor) -> Tensor:
    """The oracle: one image after the other, CLS and patches apart."""
    rows, columns = images.shape[-2] // 3, images.shape[-1] // 3
    places = stretched(module.positions[1:], rows, columns)
    first = module.class_token + module.positions[0]
    return torch.stack([torch.vstack([first, one + places]) for one in seen(module, images)])


@exercise.holds("an image of N patches becomes 1 + N tokens")
def shape(embeddings, case):
    case.shape(case.call(made(case, embeddings), some_images(case)), "B 1+N D")


@exercise.holds("where patches and positions are zero, CLS is the first token and the rest is zero")
def class_first(embeddings, case):
    module = made(case, embeddings)
    with torch.no_grad():
        for parameter in (module.positions, *module.patches.parameters()):
            parameter.zero_()
    expected = torch.zeros(3, 17, 10)
    expected[:, 0] = module.class_token.detach()
    case.equal(case.call(module, some_images(case)), expected)


@exercise.holds("the first token is CLS plus the first position, the same for every image")
def class_position(embeddings, case):
    module = made(case, embeddings)
    got = case.call(module, some_images(case))
    expected = (module.class_token + module.positions[0]).expand(3, 10)
    case.equal(got[:, 0], expected, "the first token of each image")


@exercise.holds(
    "editing one patch changes exactly one token, the one after CLS and those before it"
)
def one_patch(embeddings, case):
    module, images = made(case, embeddings), some_images(case)
    edited = images.clone()
    edited[:, :, 3:6, 6:9] -= 1  # the second row's third: patch 6
    before = case.call(module, images)
    after = case.call(module, case.named(edited, "B C height width"))
    changed = ((before - after).abs() > 1e-5).any(-1)
    case.equal(changed, torch.arange(17).expand_as(changed) == 7, "whether each token has changed")


@exercise.holds("token 1 + i is patch i, projected, plus position 1 + i")
def each_patch(embeddings, case):
    module, images = made(case, embeddings), some_images(case)
    case.equal(case.call(module, images), by_rows(module, images))


@exercise.holds("a wide image gets the grid of positions stretched; CLS keeps its own position")
def wide(embeddings, case):
    module, images = made(case, embeddings), some_images(case, 6, 15)
    case.equal(case.call(module, images), by_rows(module, images))


@exercise.holds("so does a tall one, and one that is smaller both ways")
def tall(embeddings, case):
    module = made(case, embeddings)
    for height, width in ((15, 6), (9, 9)):
        images = some_images(case, height, width)
        case.equal(case.call(module, images), by_rows(module, images))


@exercise.holds("an image of another size changes nothing for those that follow")
def afterwards(embeddings, case):
    module, images = made(case, embeddings), some_images(case)
    module.requires_grad_(False)
    case.call(module, some_images(case, 15, 6))
    case.equal(case.call(module, images), by_rows(module, images))


@exercise.holds("the gradients reach images, CLS, positions and the projection")
def gradients(embeddings, case):
    module = made(case, embeddings).double()
    images = some_images(case, 6, 15)
    case.gradients(module, lambda x: by_rows(module, x), images, parameters=module)


def sides(self, images):
    """Rows and columns of patches."""
    return images.shape[-2] // self.patch_size, images.shape[-1] // self.patch_size


def places(self, images):
    """The positions of the patches, for an image of this size."""
    return resize_positions(self.positions[1:], (self.grid, self.grid), sides(self, images))


def classes(self, images):
    """CLS for each image (B, 1, D)."""
    return self.class_token.expand(len(images), 1, -1)


def joined(self, images):
    """CLS, then the patches, without positions."""
    return torch.cat([classes(self, images), self.patches(images)], 1)


@exercise.wrong(
    "wide-ones-only",
    story="positions are stretched only where an image is wider than high; else the first N are taken",
    advice="whatever its sides are: resize_positions to the rows and columns of this image",
    method="forward",
)
def wide_ones_only(self, images):
    tokens, wide = joined(self, images), images.shape[-1] > images.shape[-2]
    own = places(self, images) if wide else self.positions[1 : tokens.shape[1]]
    return tokens + torch.cat([self.positions[:1], own])


@exercise.wrong(
    "class-last",
    story="CLS stands behind the patches",
    advice="CLS first: torch.cat([class_token, patches], dim=1), and the classifier reads token 0",
    method="forward",
)
def class_last(self, images):
    patches = self.patches(images) + places(self, images)
    return torch.cat([patches, classes(self, images) + self.positions[0]], 1)


@exercise.wrong(
    "class-last-positions-first",
    story="CLS stands behind the patches, and all positions are added in the order in which they lie",
    advice="CLS first: torch.cat([class_token, patches], dim=1), then the positions",
    method="forward",
)
def class_last_positions_first(self, images):
    tokens = torch.cat([self.patches(images), classes(self, images)], 1)
    return tokens + torch.cat([self.positions[:1], places(self, images)])


@exercise.wrong(
    "class-without-position",
    story="positions are added to the patches before CLS is put there, so CLS has no position",
    advice="1 + N positions for 1 + N tokens: join first, then add; CLS gets positions[0]",
    method="forward",
)
def class_without_position(self, images):
    return torch.cat([classes(self, images), self.patches(images) + places(self, images)], 1)


@exercise.wrong(
    "positions-shifted",
    story="the patches get positions 0 to N - 1: the first patch has the one that belongs to CLS",
    advice="position 0 is for CLS; patch i has position 1 + i",
    method="forward",
)
def positions_shifted(self, images):
    shifted = resize_positions(self.positions[:-1], (self.grid, self.grid), sides(self, images))
    return torch.cat([classes(self, images), self.patches(images) + shifted], 1)


@exercise.wrong(
    "no-positions",
    story="no positions are added: the model sees a bag of patches",
    advice="add positions to the tokens before you return them",
    method="forward",
)
def no_positions(self, images):
    return joined(self, images)


@exercise.wrong(
    "no-class",
    story="there is no CLS token: N tokens instead of 1 + N",
    advice="put the class token before the patches, once an image",
    method="forward",
)
def no_class(self, images):
    return self.patches(images) + places(self, images)


@exercise.wrong(
    "class-added-to-patches",
    story="CLS is added to every patch instead of being a token of its own",
    advice="join along the tokens with torch.cat, do not add",
    method="forward",
)
def class_added_to_patches(self, images):
    return self.patches(images) + self.class_token + places(self, images)


@exercise.wrong(
    "class-from-patches",
    story="the first token is the mean of the patches, not the learned CLS token",
    advice="CLS is a parameter, the same for every image: self.class_token",
    method="forward",
)
def class_from_patches(self, images):
    patches = self.patches(images)
    tokens = torch.cat([patches.mean(1, keepdim=True), patches], 1)
    return tokens + torch.cat([self.positions[:1], places(self, images)])


@exercise.wrong(
    "positions-not-resized",
    story="the positions fit only the image size of the config",
    advice="resize_positions gives those for this image's rows and columns of patches",
    method="forward",
)
def positions_not_resized(self, images):
    return joined(self, images) + self.positions


@exercise.wrong(
    "positions-cut-off",
    story="an image of another size gets the first positions, cut off where it ends",
    advice="position i + 1 is a place in a grid of rows and columns: stretch the grid, do not cut it",
    method="forward",
)
def positions_cut_off(self, images):
    tokens = joined(self, images)
    return tokens + self.positions[: tokens.shape[1]]


@exercise.wrong(
    "class-position-resized",
    story="the position of CLS is stretched together with the grid, as if it were a patch",
    advice="leave positions[0] out of the grid and put it before the resized ones",
    method="forward",
)
def class_position_resized(self, images):
    tokens = joined(self, images)
    row = self.positions.T[None]
    if row.shape[-1] != tokens.shape[1]:
        row = F.interpolate(row, size=tokens.shape[1], mode="linear", align_corners=False)
    return tokens + row[0].T


@exercise.wrong(
    "grid-exchanged",
    story="rows and columns are exchanged when the positions are resized",
    advice="(height // patch, width // patch): axis 2 is the height, axis 3 the width",
    method="forward",
)
def grid_exchanged(self, images):
    resized = resize_positions(
        self.positions[1:], (self.grid, self.grid), sides(self, images)[::-1]
    )
    return joined(self, images) + torch.cat([self.positions[:1], resized])


@exercise.wrong(
    "square-assumed",
    story="the image is taken for a square: its height gives rows and columns",
    advice="count the columns from the width",
    method="forward",
)
def square_assumed(self, images):
    rows = images.shape[-2] // self.patch_size
    resized = resize_positions(self.positions[1:], (self.grid, self.grid), (rows, rows))
    return joined(self, images) + torch.cat([self.positions[:1], resized])


@exercise.wrong(
    "scaled-tokens",
    story="the tokens are multiplied by the root of the width, as in the first transformer",
    advice="that was for words; a ViT adds its positions to the tokens as they are",
    method="forward",
    convention=True,
)
def scaled_tokens(self, images):
    tokens = joined(self, images) * self.positions.shape[-1] ** 0.5
    return tokens + torch.cat([self.positions[:1], places(self, images)])


@exercise.wrong(
    "resized-kept",
    story="the resized positions are stored in place of the learned ones",
    advice="compute them anew in each call and leave self.positions alone",
    method="forward",
)
def resized_kept(self, images):
    resized = torch.cat([self.positions[:1], places(self, images)])
    if not torch.is_grad_enabled() or not self.positions.requires_grad:
        self.positions = nn.Parameter(resized.detach(), requires_grad=False)
        self.grid = sides(self, images)[0]
    return joined(self, images) + resized


@exercise.wrong(
    "positions-detached",
    story="the positions are cut off from the result, so they stay as random as they began",
    advice="no detach and no .data: positions are learned",
    method="forward",
)
def positions_detached(self, images):
    return joined(self, images) + torch.cat([self.positions[:1], places(self, images)]).detach()


@exercise.disguise("class-without-position", method="forward")
def class_without_position_too(self, images):
    found = []
    for patches in self.patches(images):
        found.append(torch.vstack([self.class_token, patches + places(self, images)]))
    return torch.stack(found)


@exercise.disguise("no-class", method="forward")
def no_class_too(self, images):
    everything = joined(self, images) + torch.cat([self.positions[:1], places(self, images)])
    return everything[:, 1:]


@exercise.right("two parts", method="forward")
def two_parts(self, images):
    first = (self.class_token + self.positions[0]).repeat(len(images), 1, 1)
    return torch.cat([first, self.patches(images) + places(self, images)], dim=1)


@exercise.right("written into zeros", method="forward")
def written_into_zeros(self, images):
    rows, columns = sides(self, images)
    shape = (len(images), 1 + rows * columns, len(self.class_token))
    tokens = self.class_token.new_zeros(shape)
    tokens[:, 0] = self.class_token + self.positions[0]
    tokens[:, 1:] = self.patches(images) + stretched_freely(self, rows, columns)
    return tokens


def stretched_freely(self, rows, columns):
    """Positions resized without the library's function."""
    grid = self.positions[1:].T.reshape(1, -1, self.grid, self.grid)
    grid = F.interpolate(grid, size=(rows, columns), mode="bicubic", align_corners=False)
    return grid.flatten(2)[0].T
