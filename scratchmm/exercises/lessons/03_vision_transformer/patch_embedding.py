"""Exercise embeddings.PatchEmbedding: one Linear layer turns each patch into a token."""

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from scratchmm.exercises.case import Case
from scratchmm.exercises.format import Exercise
from scratchmm.vision.vit import patchify

exercise = Exercise(
    id="embeddings.PatchEmbedding",
    order=20,
    target="scratchmm.vision.vit:PatchEmbedding",
    title="Patches become tokens",
    goal="each patch, laid out flat, through one Linear layer",
    minutes=10,
    difficulty=2,
    section="A patch becomes a token",
    needs=("embeddings.patchify",),
    methods={
        "__init__": "keep channels and patch; self.projection is an nn.Linear from C p p to width",
        "forward": "each patch, laid out flat, through the projection: (B, N, D)",
    },
    hints="""
        1. Take a grey image of 2 x 4 pixels, patch 2 and width 1, all weights of the projection 1
           and its bias 0: the token of each patch is the sum of its four pixels, (B, 2, 1).
           bias=False must leave no bias at all.
        2. A patch is a list of C p p numbers. The same Linear layer, with the same weights for
           every patch, turns such a list into a token. Where the patch stands plays no part here.
        3. In __init__: begin as every module begins; keep channels and patch as attributes;
           projection has C p p numbers coming in and width going out. In forward: images (B, C,
           height, width) become patches (B, N, C p p), the projection makes them (B, N, D).
        4. __init__: self.projection = nn.Linear(channels * patch * patch, width, bias=bias);
           forward: return self.projection(patchify(images, self.patch))
    """,
)

CHANNELS, PATCH, WIDTH = 2, 3, 5  # of the small layer that is tried


def layer(case: Case, factory: Any, bias: bool = True) -> Any:
    """One with copied weights."""
    case.sizes.update(N=8, D=WIDTH)
    return case.build(factory, CHANNELS, PATCH, WIDTH, bias=bias)


def some_images(case: Case) -> Tensor:
    """2 x 4 patches."""
    return case.normal(B=4, C=CHANNELS, height=6, width=12)


def convolved(images: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    """The oracle: the same weights as a convolution whose stride is its size."""
    kernel = weight.view(-1, CHANNELS, PATCH, PATCH)
    return F.conv2d(images, kernel, bias, stride=PATCH).flatten(2).transpose(1, 2)


@exercise.holds("it has the parameters of one Linear layer: weight (D, C p p) and bias (D)")
def parameters(patch_embedding, case):
    module = case.call(patch_embedding, CHANNELS, PATCH, WIDTH)
    got = {name: tuple(p.shape) for name, p in sorted(module.named_parameters())}
    expected = {"projection.bias": (WIDTH,), "projection.weight": (WIDTH, CHANNELS * PATCH**2)}
    case.equal(got, expected)


@exercise.holds("it keeps channels and patch")
def kept(patch_embedding, case):
    module = case.call(patch_embedding, CHANNELS, PATCH, WIDTH)
    got = {name: getattr(module, name, None) for name in ("channels", "patch")}
    case.equal(case.seen(got), {"channels": CHANNELS, "patch": PATCH}, "what it keeps")


@exercise.holds("with bias=False there is no bias")
def without_bias(patch_embedding, case):
    module = layer(case, patch_embedding, bias=False)
    case.equal(sorted(name for name, _ in module.named_parameters()), ["projection.weight"])
    images = some_images(case)
    case.equal(case.call(module, images), convolved(images, module.projection.weight, None))


@exercise.holds("each patch becomes a token of the width: (B, N, D)")
def shape(patch_embedding, case):
    case.shape(case.call(layer(case, patch_embedding), some_images(case)), "B N D")


@exercise.holds("editing one patch changes exactly one token")
def one_patch(patch_embedding, case):
    module, images = layer(case, patch_embedding), some_images(case)
    edited = images.clone()
    edited[:, :, :3, 9:] *= 2  # the first row's last
    before = case.call(module, images)
    after = case.call(module, case.named(edited, "B C height width"))
    changed = ((before - after).abs() > 1e-5).any(-1)
    case.equal(changed, torch.arange(8).expand_as(changed) == 3, "whether each token has changed")


@exercise.holds("it equals a convolution with these weights whose stride is the patch")
def convolution(patch_embedding, case):
    module, images = layer(case, patch_embedding), some_images(case)
    expected = convolved(images, module.projection.weight, module.projection.bias)
    case.equal(case.call(module, images), expected)


@exercise.holds("the gradients reach the images, the weights and the bias")
def gradients(patch_embedding, case):
    module = layer(case, patch_embedding).double()
    weight, bias = module.projection.weight, module.projection.bias
    case.gradients(
        module, lambda images: convolved(images, weight, bias), some_images(case), parameters=module
    )


exercise.mistakes("""
    grey-assumed: the projection takes p p numbers, as if the image were grey
    - self.projection = nn.Linear(channels * patch * patch, width, bias=bias)
    + self.projection = nn.Linear(patch * patch, width, bias=bias)
    - return self.projection(patchify(images, self.patch))
    + return self.projection(patchify(images.mean(1, keepdim=True), self.patch))
    > a patch has C p p numbers: every channel of every pixel

    pixels-projected: each pixel is projected, not each patch: the layer takes C numbers
    - self.projection = nn.Linear(channels * patch * patch, width, bias=bias)
    + self.projection = nn.Linear(channels, width, bias=bias)
    - return self.projection(patchify(images, self.patch))
    + return self.projection(F.avg_pool2d(images, self.patch).flatten(2).mT)
    > a token stands for a whole patch: C p p numbers come in

    convolution [convention]: the projection is a convolution: the same numbers, but its weight is
    (D, C, p, p)
    - self.projection = nn.Linear(channels * patch * patch, width, bias=bias)
    + self.projection = nn.Conv2d(channels, width, patch, patch, bias=bias)
    - return self.projection(patchify(images, self.patch))
    + return self.projection(images).flatten(2).mT
    > many libraries have it so; here it is a Linear, as saved weights expect

    layer-in-forward: the Linear layer is made anew in every call, so nothing is ever learned
    - self.projection = nn.Linear(channels * patch * patch, width, bias=bias)
    + self.sizes = channels * patch * patch, width, bias
    - return self.projection(patchify(images, self.patch))
    + torch.manual_seed(0)
    + return nn.Linear(*self.sizes)(patchify(images, self.patch))
    > make it once, in __init__, as self.projection

    columns-first: the tokens go down each column before they go right
    - return self.projection(patchify(images, self.patch))
    + tokens = self.projection(patchify(images, self.patch))
    + grid = tokens.unflatten(1, (images.shape[-2] // self.patch, -1))
    + return grid.transpose(1, 2).flatten(1, 2)
    > reading order: the row of patches is the slower one

    channels-last [convention]: within a patch the channels come last, so the weights meet the wrong
    pixels
    - return self.projection(patchify(images, self.patch))
    + patches = patchify(images, self.patch).unflatten(2, (-1, self.patch, self.patch))
    + return self.projection(patches.permute(0, 1, 3, 4, 2).flatten(2))
    > channel by channel, as patchify lays it out and as saved weights expect

    mixed-patches: what is projected is not one patch: the image was reshaped without permuting
    - return self.projection(patchify(images, self.patch))
    + return self.projection(images.reshape(len(images), -1, self.projection.in_features))
    > use patchify; a reshape alone cuts rows, not patches
""")

exercise.slips("""
    self.channels, self.patch = channels, patch => self.patch = patch
    self.channels, self.patch = channels, patch => self.patch = patch ;;
        check_channels("images", images.shape[1], self.channels) => pass
    nn.Linear(channels * patch * patch, width, bias=bias)
        => nn.Linear(channels * patch * patch, width, bias=False)
    self.projection(patchify(images, self.patch))
        => self.projection(patchify(images, self.patch)).mT
    self.projection(patchify(images, self.patch)) => self.projection(
        patchify(images, self.patch)).unflatten(1, (images.shape[-2] // self.patch, -1))
    return self.projection(patchify(images, self.patch)) =>
        return F.gelu(self.projection(patchify(images, self.patch)))
    self.projection(patchify(images, self.patch)) => self.projection(patchify(
        images, self.patch).unflatten(2, (-1, self.patch, self.patch)).mT.flatten(2))
    return self.projection(patchify(images, self.patch)) => return F.linear(
        patchify(images, self.patch), *(p.detach() for p in self.projection.parameters()))
""")


@exercise.right("unfold and einsum", method="forward")
def unfolded(self, images):
    columns = F.unfold(images, self.patch, stride=self.patch)
    tokens = torch.einsum("bin,di->bnd", columns, self.projection.weight)
    return tokens if self.projection.bias is None else tokens + self.projection.bias


@exercise.right("from scratch")
class FromScratch(nn.Module):
    def __init__(self, channels, patch, width, bias=True):
        super().__init__()
        self.channels, self.patch = channels, patch
        self.projection = nn.Linear(channels * patch**2, width, bias=bias)

    def forward(self, images):
        return torch.stack([self.projection(row) for row in patchify(images, self.patch)])
