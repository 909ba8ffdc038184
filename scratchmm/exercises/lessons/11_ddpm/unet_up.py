"""Exercise unet.up: the way up of a UNet, where each step is handed what the way down left for it."""

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from scratchmm.diffusion.unet import UNetConfig
from scratchmm.exercises.case import Case
from scratchmm.exercises.format import Exercise


def into_the_library(mine: Any, library: Any) -> Any:
    """The learner's way up becomes the library's, so that the UNets built on it go that way too."""
    library.up = mine.up
    return library


exercise = Exercise(
    id="unet.up",
    order=60,
    target="scratchmm.diffusion.unet:UNet",
    title="Up blocks and skip connections",
    goal="the way up: each step sees the last skip left beside its input; then the noise",
    minutes=20,
    difficulty=3,
    section="Down and up",
    methods={
        "up": "level after level upwards, each step with the last skip left beside its input; then "
        "norm, silu and the last convolution"
    },
    adapt=into_the_library,
    hints=(
        "Three skips were left, in this order: s0, s1, s2. The first step up sees x beside s2, the "
        "next what came of it beside s1, the last s0. x has 6 channels and s2 has 4: the step gets 10, "
        "those of x first.",
        "What was made last on the way down stands on the grid where the way up begins: so skips are "
        "taken from the end, each once. A step up can't know what was small: that went lost when "
        "the grid shrank, and the skip brings it back, channel beside channel.",
        "For each level of self.rising, for each step in it: join x and the last skip that is left "
        "along the channels, and let the step see that, the time and all words. Behind a level comes "
        "self.growing[level], but there is none behind the last. At last self.norm, silu, self.end. "
        "The caller's list stays as long as it is.",
        "left = list(skips); for level, steps in enumerate(self.rising): for step in steps: x = "
        "step(torch.cat([x, left.pop()], dim=1), time, *words); if level < len(self.growing): x = "
        "self.growing[level](x); return self.end(F.silu(self.norm(x)))",
    ),
)

# Two levels of the same width: no order of the skips of a level gives itself away by a size.
CONFIG = UNetConfig(channels=3, widths=(8, 8), depth=2, attended=(1,), groups=2)


class Hears(nn.Module):
    """In place of attention: adds up what the words say, so that none may be forgotten."""

    def forward(self, x: Tensor, *words: Tensor) -> Tensor:
        for number, word in enumerate(words, 1):
            x = x + number * word.mean((1, 2))[:, None, None, None]
        return x


def made(case: Case, factory: Any) -> Any:
    return case.build(factory, CONFIG, scale=0.3)


def inputs(case: Case, model: Any) -> tuple[Tensor, list[Tensor], Tensor]:
    """The smallest grid, (2, 8, 3, 5), skips as `down` leaves them, and an embedded time."""
    large: dict[str, Any] = {"X": 6, "Y": 10}
    small: dict[str, Any] = {"x": 3, "y": 5}
    skips = [case.normal(B=2, D=8, **size) for size in (large,) * 3 + (small,) * 3]
    time = case.normal(B=2, E=CONFIG.time_width)
    return case.named(case.normal(B=2, D=8, **small), "B D x y"), skips, time


def by_number(model: Any, x: Tensor, skips: Any, time: Tensor, *words: Tensor) -> Tensor:
    """The oracle: the skips by their numbers, the layers by theirs."""
    (a, b, c), (d, e, f) = model.rising
    for step, skip in ((a, 5), (b, 4), (c, 3)):
        x = step(torch.cat((x, skips[skip]), 1), time, *words)
    x = model.growing[0](x)
    for step, skip in ((d, 2), (e, 1), (f, 0)):
        x = step(torch.cat((x, skips[skip]), 1), time, *words)
    norm = model.norm
    x = F.group_norm(x, norm.num_groups, norm.weight, norm.bias, norm.eps)
    return model.end(x * torch.sigmoid(x))


@exercise.holds("from the smallest grid to an image: channels and sizes of the one that came in")
def shape(unet, case):
    model = made(case, unet)
    got = case.call(model, case.normal(B=2, C=3, X=6, Y=10), torch.tensor([3, 40]))
    case.shape(got, "B C X Y")


@exercise.holds("each step sees the last skip left, behind its own input")
def order(unet, case):
    model = made(case, unet)
    x, skips, time = inputs(case, model)
    got = case.call(model.up, x, skips, time)
    case.equal(got, by_number(model, x, skips, time))


@exercise.holds("what the words say reaches every step that takes words")
def hears(unet, case):
    model = made(case, unet)
    for level in model.rising:
        for step in level:
            step.attention = Hears()
    x, skips, time = inputs(case, model)
    words = case.normal(B=2, T=3, W=4), case.normal(B=2, T=2, W=5)
    got = case.call(model.up, x, skips, time, *words)
    case.equal(got, by_number(model, x, skips, time, *words))


@exercise.holds("three levels, each of another width and depth 1, go the same way")
def three_levels(unet, case):
    config = UNetConfig(channels=1, widths=(4, 8, 12), depth=1, attended=(), groups=2)
    model = case.build(unet, config, scale=0.3)
    image, time = case.normal(B=2, C=1, X=12, Y=8), case.normal(B=2, E=16)
    x, skips = model.down(image, time)
    got, left = case.call(model.up, x, skips, time), list(skips)
    for level, steps in enumerate(model.rising):
        for step in steps:
            x, left = step(torch.cat((x, left[-1]), 1), time), left[:-1]
        x = model.growing[level](x) if level < 2 else x
    case.equal(got, model.end(F.silu(model.norm(x))))


@exercise.holds("the caller's skips are left as they were, all of them")
def kept(unet, case):
    model = made(case, unet)
    x, skips, time = inputs(case, model)
    copies = [skip.clone() for skip in skips]
    case.call(model.up, x, skips, time)
    case.true(len(skips) == 6, "6 skips in the caller's list", f"{len(skips)} left")
    case.equal(list(skips), copies, "the skips")


@exercise.holds("the gradients reach x, the time, every skip and every layer")
def gradients(unet, case):
    model = made(case, unet).double()
    x, skips, time = inputs(case, model)
    case.gradients(
        lambda x, time, *skips: model.up(x, list(skips), time),
        lambda x, time, *skips: by_number(model, x, skips, time),
        x,
        time,
        *skips,
        parameters=nn.ModuleList([model.rising, model.growing, model.norm, model.end]),
    )
