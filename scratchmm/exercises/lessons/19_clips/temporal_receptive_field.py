"""Exercise cnn3d.temporal_receptive_field: how many frames one number has seen."""

import math

from scratchmm.exercises.format import Exercise

exercise = Exercise(
    id="cnn3d.temporal_receptive_field",
    order=30,
    target="scratchmm.video.cnn3d:temporal_receptive_field",
    title="The temporal receptive field",
    goal="how many frames one number of the last layer depends on",
    minutes=10,
    difficulty=2,
    section="Over time and space",
    hints=(
        "Two kernels of 3: a number of the second layer sees 3 numbers of the first, which see frames "
        "1 2 3, 2 3 4 and 3 4 5: 5 frames, not 6 and not 9. If the first layer strides by 2, they "
        "see 1 2 3, 3 4 5 and 5 6 7: 7 frames.",
        "Each layer reaches k - 1 steps beyond what one number saw before. How many frames apart two "
        "neighbours of its input lie is decided by all strides before it, never by its own. The "
        "lesson draws the fan.",
        "Two numbers: the field, 1 at first, and the frames between neighbours, 1 at first. For each "
        "layer, first to last: the field grows by (kernel - 1) times that distance; then the distance "
        "is multiplied by the layer's stride.",
        "for kernel, stride in layers: field += (kernel - 1) * step; step *= stride",
    ),
)


def seen(layers):
    """The same by walking back: which numbers of each layer the last one's number 0 comes from."""
    places = {0}
    for kernel, stride in reversed(layers):
        places = {place * stride + offset for place in places for offset in range(kernel)}
    return max(places) - min(places) + 1


def check(case, temporal_receptive_field, *stacks):
    case.each(temporal_receptive_field, *(((layers,), seen(layers)) for layers in stacks))


@exercise.holds("without any layer, a number is one frame")
def none(temporal_receptive_field, case):
    check(case, temporal_receptive_field, [])


@exercise.holds("one layer sees as many frames as its kernel is long, whatever its stride")
def one(temporal_receptive_field, case):
    check(case, temporal_receptive_field, [(3, 1)], [(5, 1)], [(1, 1)], [(3, 2)], [(5, 4)])


@exercise.holds("a layer of stride 1 adds its kernel less one")
def stride_one(temporal_receptive_field, case):
    check(case, temporal_receptive_field, [(3, 1), (3, 1)], [(5, 1), (3, 1), (2, 1)])


@exercise.holds("a stride spreads what comes behind it, and only that")
def one_stride(temporal_receptive_field, case):
    check(case, temporal_receptive_field, [(3, 2), (3, 1)], [(3, 1), (3, 2)], [(5, 3), (2, 1)])


@exercise.holds("strides multiply")
def strides(temporal_receptive_field, case):
    check(
        case,
        temporal_receptive_field,
        [(3, 2), (3, 2), (3, 1)],
        [(3, 3), (5, 2), (3, 2), (2, 1)],
        [(3, 1), (3, 2), (1, 3), (3, 1)],
    )


@exercise.holds("it is what walking back from the last layer to the frames finds")
def any_stack(temporal_receptive_field, case):
    stacks = []
    for count in (2, 3, 4, 5):
        kernels = case.integers(2, 6, layers=count).tolist()
        strides = case.integers(1, 4, layers=count).tolist()
        # A kernel shorter than its stride skips frames: not what this is about.
        stacks.append([(max(k, s), s) for k, s in zip(kernels, strides, strict=True)])
    check(case, temporal_receptive_field, *stacks)


@exercise.wrong(
    "strides-ignored",
    story="the strides are not used",
    advice="behind a stride of 2, neighbours lie two frames apart, so a kernel reaches twice as far",
)
def strides_ignored(layers):
    return 1 + sum(kernel - 1 for kernel, _ in layers)


@exercise.wrong(
    "own-stride",
    story="a layer's own stride already spreads its own kernel",
    advice="first let the field grow, then multiply the distance by the stride",
)
def own_stride(layers):
    field, step = 1, 1
    for kernel, stride in layers:
        step *= stride
        field += (kernel - 1) * step
    return field


@exercise.wrong(
    "only-the-last-stride",
    story="only the stride of the layer before counts",
    advice="all strides before a layer multiply: step *= stride, not step = stride",
)
def only_the_last_stride(layers):
    field, step = 1, 1
    for kernel, stride in layers:
        field += (kernel - 1) * step
        step = stride
    return field


@exercise.wrong(
    "strides-added",
    story="the strides are added up instead of multiplied",
    advice="two strides of 3 make neighbours lie 9 frames apart, not 5",
)
def strides_added(layers):
    field, step = 1, 1
    for kernel, stride in layers:
        field += (kernel - 1) * step
        step += stride - 1
    return field


@exercise.wrong(
    "whole-kernel",
    story="the whole kernel is added, also the one place that was seen already",
    advice="one of a kernel's places is the number itself: kernel - 1 are new",
)
def whole_kernel(layers):
    field, step = 1, 1
    for kernel, stride in layers:
        field += kernel * step
        step *= stride
    return field


@exercise.wrong(
    "from-zero",
    story="the field begins at 0: the frame itself is not counted",
    advice="without any layer a number is one frame: begin at 1",
)
def from_zero(layers):
    return library(layers) - 1


@exercise.wrong(
    "kernels-multiplied",
    story="the kernels are multiplied, as if neighbours never saw the same frame",
    advice="neighbours overlap: two kernels of 3 see 5 frames, not 9",
)
def kernels_multiplied(layers):
    return math.prod(kernel for kernel, _ in layers)


@exercise.wrong(
    "last-first",
    story="the layers are taken from the last to the first",
    advice="the first layer is the one that looks at frames: go through the list as it is",
)
def last_first(layers):
    return library(layers[::-1])


@exercise.wrong(
    "times-all-strides",
    story="the field is multiplied by every stride",
    advice="a stride spreads what comes behind it; what was seen before stays as wide as it was",
)
def times_all_strides(layers):
    field = 1
    for kernel, stride in layers:
        field = (field + kernel - 1) * stride
    return field


@exercise.wrong(
    "longest-kernel",
    story="the longest kernel is returned",
    advice="every layer adds to what the ones before it saw",
)
def longest_kernel(layers):
    return max((kernel for kernel, _ in layers), default=1)


def library(layers):
    """The right answer, for wrong ones that go astray before or behind it."""
    field, step = 1, 1
    for kernel, stride in layers:
        field += (kernel - 1) * step
        step *= stride
    return field


@exercise.disguise("own-stride")
def own_stride_too(layers):
    return 1 + sum(
        (kernel - 1) * math.prod(stride for _, stride in layers[: index + 1])
        for index, (kernel, _) in enumerate(layers)
    )


@exercise.disguise("last-first")
def last_first_too(layers):
    field = 1
    for kernel, stride in layers:
        field = (field - 1) * stride + kernel
    return field


@exercise.right("from the last layer back")
def backwards(layers):
    field = 1
    for kernel, stride in reversed(layers):
        field = (field - 1) * stride + kernel
    return field


@exercise.right("a sum of products")
def products(layers):
    return 1 + sum(
        (kernel - 1) * math.prod(stride for _, stride in layers[:index])
        for index, (kernel, _) in enumerate(layers)
    )
