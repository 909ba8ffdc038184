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
    hints=(
        "Take a grey image of 2 x 4 pixels, patch 2 and width 1, all weights of the projection 1 "
        "and its bias 0: the token of each patch is the sum of its four pixels, (B, 2, 1). "
        "bias=False must leave no bias at all.",
        "A patch is a list of C p p numbers. The same Linear layer, with the same weights for every "
        "patch, turns such a list into a token. Where the patch stands plays no part here.",
        "In __init__: begin as every module begins; keep channels and patch as attributes; "
        "projection has C p p numbers coming in and width going out. In forward: images "
        "(B, C, height, width) become patches (B, N, C p p), and the projection makes them (B, N, D).",
        "__init__: self.projection = nn.Linear(channels * patch * patch, width, bias=bias); "
        "forward: return self.projection(patchify(images, self.patch))",
    ),
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


@exercise.wrong(
    "channels-forgotten",
    story="channels are not kept, so nobody can ask the layer how many its images have",
    advice="self.channels, self.patch = channels, patch",
    method="__init__",
)
def channels_forgotten(self, channels, patch, width, bias=True):
    nn.Module.__init__(self)
    self.patch = patch
    self.projection = nn.Linear(channels * patch**2, width, bias=bias)


@exercise.wrong(
    "bias-always",
    story="bias=False is ignored: there is always a bias",
    advice="hand bias on to nn.Linear; CLIP's patches have none",
    method="__init__",
)
def bias_always(self, channels, patch, width, bias=True):
    nn.Module.__init__(self)
    self.channels, self.patch = channels, patch
    self.projection = nn.Linear(channels * patch * patch, width)


@exercise.wrong(
    "bias-never",
    story="there is never a bias",
    advice="hand bias on to nn.Linear; it is True unless someone says otherwise",
    method="__init__",
)
def bias_never(self, channels, patch, width, bias=True):
    nn.Module.__init__(self)
    self.channels, self.patch = channels, patch
    self.projection = nn.Linear(channels * patch * patch, width, bias=False)


@exercise.wrong(
    "channels-forgotten",
    story="the projection takes p p numbers, as if the image were grey",
    advice="a patch has C p p numbers: every channel of every pixel",
)
class ChannelsForgotten(nn.Module):
    def __init__(self, channels, patch, width, bias=True):
        super().__init__()
        self.patch, self.projection = patch, nn.Linear(patch * patch, width, bias=bias)

    def forward(self, images):
        return self.projection(patchify(images.mean(1, keepdim=True), self.patch))


@exercise.wrong(
    "pixels-projected",
    story="each pixel is projected, not each patch: the layer takes C numbers",
    advice="a token stands for a whole patch: C p p numbers come in",
)
class PixelsProjected(nn.Module):
    def __init__(self, channels, patch, width, bias=True):
        super().__init__()
        self.patch, self.projection = patch, nn.Linear(channels, width, bias=bias)

    def forward(self, images):
        return self.projection(F.avg_pool2d(images, self.patch).flatten(2).transpose(1, 2))


@exercise.wrong(
    "convolution",
    story="the projection is a convolution: the same numbers, but its weight is (D, C, p, p)",
    advice="a true twin, and many libraries do it; here it is a Linear, as saved weights expect",
    convention=True,
)
class Convolution(nn.Module):
    def __init__(self, channels, patch, width, bias=True):
        super().__init__()
        self.projection = nn.Conv2d(channels, width, patch, patch, bias=bias)

    def forward(self, images):
        return self.projection(images).flatten(2).transpose(1, 2)


@exercise.wrong(
    "layer-in-forward",
    story="the Linear layer is made anew in every call, so nothing is ever learned",
    advice="make it once, in __init__, as self.projection",
)
class LayerInForward(nn.Module):
    def __init__(self, channels, patch, width, bias=True):
        super().__init__()
        self.sizes = channels * patch * patch, width, bias
        self.patch = patch

    def forward(self, images):
        size, width, bias = self.sizes
        torch.manual_seed(0)
        return nn.Linear(size, width, bias=bias)(patchify(images, self.patch))


@exercise.wrong(
    "width-before-tokens",
    story="the result is (B, D, N)",
    advice="tokens come second, their width last: (B, N, D)",
    method="forward",
)
def width_before_tokens(self, images):
    return self.projection(patchify(images, self.patch)).transpose(1, 2)


@exercise.wrong(
    "grid-kept",
    story="the tokens still stand in rows and columns (B, rows, columns, D)",
    advice="join rows and columns to one axis N",
    method="forward",
)
def grid_kept(self, images):
    tokens = self.projection(patchify(images, self.patch))
    return tokens.unflatten(1, (images.shape[-2] // self.patch, -1))


@exercise.wrong(
    "columns-first",
    story="the tokens go down each column before they go right",
    advice="reading order: the row of patches is the slower one",
    method="forward",
)
def columns_first(self, images):
    tokens = self.projection(patchify(images, self.patch))
    grid = tokens.unflatten(1, (images.shape[-2] // self.patch, -1))
    return grid.transpose(1, 2).flatten(1, 2)


@exercise.wrong(
    "transposed-in-patch",
    story="each patch is transposed before it is projected",
    advice="within a patch: channel, then row, then column",
    method="forward",
)
def transposed_in_patch(self, images):
    patches = patchify(images, self.patch).unflatten(2, (-1, self.patch, self.patch))
    return self.projection(patches.transpose(-1, -2).flatten(2))


@exercise.wrong(
    "channels-last",
    story="within a patch the channels come last, so the weights meet the wrong pixels",
    advice="channel by channel, as patchify lays it out and as saved weights expect",
    method="forward",
    convention=True,
)
def channels_last(self, images):
    patches = patchify(images, self.patch).unflatten(2, (-1, self.patch, self.patch))
    return self.projection(patches.permute(0, 1, 3, 4, 2).flatten(2))


@exercise.wrong(
    "activated",
    story="an activation follows the projection",
    advice="a patch embedding is linear: nothing comes after it",
    method="forward",
)
def activated(self, images):
    return F.gelu(self.projection(patchify(images, self.patch)))


@exercise.wrong(
    "mixed-patches",
    story="what is projected is not one patch: the image was reshaped without permuting",
    advice="use patchify; a reshape alone cuts rows, not patches",
    method="forward",
)
def mixed_patches(self, images):
    return self.projection(images.reshape(len(images), -1, self.projection.in_features))


@exercise.wrong(
    "detached",
    story="the weights are cut off from the result, so they never learn",
    advice="no detach, no .data and no no_grad in forward",
    method="forward",
)
def detached(self, images):
    patches = patchify(images, self.patch)
    bias = None if self.projection.bias is None else self.projection.bias.detach()
    return F.linear(patches, self.projection.weight.detach(), bias)


@exercise.disguise("columns-first", method="forward")
def columns_first_too(self, images):
    weight, patch = self.projection.weight, self.patch
    kernel = weight.unflatten(1, (-1, patch, patch))
    tokens = F.conv2d(images, kernel, self.projection.bias, stride=patch)
    return tokens.transpose(2, 3).flatten(2).transpose(1, 2)


@exercise.right("convolution in forward", method="forward")
def convolution_in_forward(self, images):
    kernel = self.projection.weight.unflatten(1, (-1, self.patch, self.patch))
    return (
        F.conv2d(images, kernel, self.projection.bias, stride=self.patch).flatten(2).transpose(1, 2)
    )


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
