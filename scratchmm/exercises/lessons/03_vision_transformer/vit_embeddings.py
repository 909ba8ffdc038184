"""Exercise vit.ViTEmbeddings: CLS, patches and positions become the sequence that a ViT encodes."""

import torch
import torch.nn.functional as F

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
    hints="""
        1. Take width 1, a CLS token of 5, two patches that come out as 1 and 2, and positions [10,
           20, 30]. The tokens are [15, 21, 32]: CLS comes first and has a position of its own, the
           first. For the second image of the batch CLS is 15 again.
        2. The transformer reads a set: without positions it can't know where a patch was. CLS is
           learned, the same for every image, and belongs to no patch. Positions are learned for one
           grid of patches, stretched for an image of another size; CLS stands beside the grid.
        3. Patch tokens (B, N, D); the class token (D) as (B, 1, D), one an image; joined along the
           tokens to (B, 1 + N, D), CLS first. How many rows and columns of patches has this image?
           Resize positions[1:] from the config's grid to those: (N, D). Put positions[:1] before
           them, (1 + N, D), and add.
        4. tokens = torch.cat([self.class_token.expand(len(images), 1, -1), self.patches(images)],
           dim=1); rows, columns = (side // self.patch_size for side in images.shape[-2:]); return
           tokens + torch.cat([self.positions[:1], resize_positions(self.positions[1:], (self.grid,
           self.grid), (rows, columns))])
    """,
)
CONFIG = ViTConfig(image_size=12, patch_size=3, width=10, depth=1, heads=2, hidden=7, channels=2)


def made(case, factory):
    """One for images of 4 x 4 patches, with copied weights."""
    case.sizes.update(N=16, D=10)
    return case.build(factory, CONFIG)


def some_images(case, height=12, width=12):
    """As the config has them, or of another size."""
    return case.normal(B=3, C=2, height=height, width=width)


def seen(module, images):
    """The patch tokens before positions, by a convolution with the same weights."""
    weight, bias = module.patches.projection.weight, module.patches.projection.bias
    return F.conv2d(images, weight.view(-1, 2, 3, 3), bias, stride=3).flatten(2).transpose(1, 2)


def stretched(positions, rows, columns):
    """The grid of 4 x 4 positions for another grid."""
    grid = positions.T.reshape(1, -1, 4, 4)
    grid = F.interpolate(grid, size=(rows, columns), mode="bicubic", align_corners=False)
    return grid.flatten(2)[0].T


def by_rows(module, images):
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


@exercise.holds("token 1 + i is patch i, projected, plus position 1 + i")
def each_patch(embeddings, case):
    module, images = made(case, embeddings), some_images(case)
    case.equal(case.call(module, images), by_rows(module, images))


@exercise.holds("for another image size the grid of positions is resized, without that of CLS")
def resized(embeddings, case):
    module = made(case, embeddings)
    for height, width in ((6, 15), (15, 6), (9, 9)):
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


exercise.mistakes("""
    class-last: the CLS token stands behind the patches, each with its own position
    - return tokens + torch.cat([self.positions[:1], resized])
    + tokens = tokens + torch.cat([self.positions[:1], resized])
    + return torch.cat([tokens[:, 1:], tokens[:, :1]], dim=1)
    > CLS first: torch.cat([class_token, patches], dim=1), and the classifier reads token 0

    class-without-position: positions are added to the patches before CLS joins them, so it has none
    - return tokens + torch.cat([self.positions[:1], resized])
    + return torch.cat([tokens[:, :1], tokens[:, 1:] + resized], dim=1)
    > 1 + N positions for 1 + N tokens: join first, then add; CLS gets positions[0]

    class-added-to-patches: CLS is added to every patch instead of being a token of its own
    - return tokens + torch.cat([self.positions[:1], resized])
    + return tokens[:, 1:] + tokens[:, :1] + resized
    > join along the tokens with torch.cat, do not add

    positions-cut-off: an image of another size gets the first positions, cut off where it ends
    - return tokens + torch.cat([self.positions[:1], resized])
    + return tokens + self.positions[: tokens.shape[1]]
    > position i + 1 is a place in a grid of rows and columns: resize the grid, do not cut it

    class-position-resized: the position of CLS is resized with the grid, as if it were a patch
    - resized = resize_positions(self.positions[1:], (self.grid, self.grid), grid)
    - return tokens + torch.cat([self.positions[:1], resized])
    + row = self.positions.T[None]
    + if row.shape[-1] != tokens.shape[1]:
    +     row = nn.functional.interpolate(row, size=tokens.shape[1], mode="linear")
    + return tokens + row[0].T
    > leave positions[0] out of the grid and put it before the resized ones

    scaled-tokens [convention]: tokens are multiplied by the root of the width, as for words
    - return tokens + torch.cat([self.positions[:1], resized])
    + return tokens * tokens.shape[-1] ** 0.5 + torch.cat([self.positions[:1], resized])
    > a ViT adds positions to the tokens as they are

    resized-kept: the resized positions are stored in place of the learned ones
    - return tokens + torch.cat([self.positions[:1], resized])
    + positions = torch.cat([self.positions[:1], resized])
    + if not torch.is_grad_enabled() or not self.positions.requires_grad:
    +     self.positions = nn.Parameter(positions.detach(), requires_grad=False)
    +     self.grid = grid[0]
    + return tokens + positions
    > compute them anew in each call and leave self.positions alone
""")

exercise.slips("""
    self.positions[:1], resized]) => self.positions[:1], resized]).detach()
    self.positions[1:] => self.positions[:-1] ;; self.positions[:1], => self.positions[-1:],
    resize_positions(self.positions[1:], (self.grid, self.grid), grid) =>
        F.interpolate(self.positions[1:].T[None], size=grid[0] * grid[1], mode="linear")[0].T
    [class_token, tokens] => [tokens.mean(1, keepdim=True), tokens]
    tokens + torch.cat([self.positions[:1], resized]) => tokens
    tokens + torch.cat([self.positions[:1], resized]) => tokens[:, 1:] + resized
    torch.cat([self.positions[:1], resized]) => self.positions
    self.grid), grid) => self.grid), grid[::-1])
    1: => :-1 ;; tokens + torch.cat([self.positions[:1], resized]) => torch.cat([tokens[:, :1],
        tokens[:, 1:] + resized], dim=1)
    [self.positions[:1], resized] => [self.positions[:1], resized if images.shape[-1] >
        images.shape[-2] else self.positions[1 : tokens.shape[1]]]
""")


@exercise.right("two parts", method="forward")
def two_parts(self, images):
    first = (self.class_token + self.positions[0]).repeat(len(images), 1, 1)
    grid = [side // self.patch_size for side in images.shape[-2:]]
    places = resize_positions(self.positions[1:], (self.grid, self.grid), grid)
    return torch.cat([first, self.patches(images) + places], dim=1)


@exercise.right("written into zeros", method="forward")
def written_into_zeros(self, images):
    rows, columns = images.shape[-2] // self.patch_size, images.shape[-1] // self.patch_size
    tokens = images.new_zeros(len(images), 1 + rows * columns, len(self.class_token))
    tokens[:, 0] = self.class_token + self.positions[0]
    tokens[:, 1:] = self.patches(images) + stretched(self.positions[1:], rows, columns)
    return tokens
