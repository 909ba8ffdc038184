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
    hints="""
        1. Two kernels of 3: a number of the second layer sees 3 numbers of the first, which see
           frames 1 2 3, 2 3 4 and 3 4 5: 5 frames, not 6 and not 9. If the first layer strides by
           2, they see 1 2 3, 3 4 5 and 5 6 7: 7 frames.
        2. Each layer reaches k - 1 steps beyond what one number saw before. How many frames apart
           two neighbours of its input lie is decided by all strides before it, never by its own.
           The lesson draws the fan.
        3. Two numbers: the field, 1 at first, and the frames between neighbours, 1 at first. For
           each layer, first to last: the field grows by (kernel - 1) times that distance; then the
           distance is multiplied by the layer's stride.
        4. for kernel, stride in layers: field += (kernel - 1) * step; step *= stride
    """,
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


exercise.mistakes("""
    strides-ignored: the strides are not used
    - field += (kernel - 1) * step
    + field += kernel - 1
    > behind a stride of 2, neighbours lie two frames apart, so a kernel reaches twice as far

    own-stride: a layer's own stride already spreads its own kernel
    - field += (kernel - 1) * step
    - step *= stride
    + step *= stride
    + field += (kernel - 1) * step
    > first let the field grow, then multiply the distance by the stride

    only-the-last-stride: only the stride of the layer before counts
    - step *= stride
    + step = stride
    > all strides before a layer multiply: step *= stride, not step = stride

    strides-added: the strides are added up instead of multiplied
    - step *= stride
    + step += stride - 1
    > two strides of 3 make neighbours lie 9 frames apart, not 5

    whole-kernel: the whole kernel is added, also the one place that was seen already
    - field += (kernel - 1) * step
    + field += kernel * step
    > one of a kernel's places is the number itself: kernel - 1 are new

    from-zero: the field begins at 0: the frame itself is not counted
    - field, step = 1, 1
    + field, step = 0, 1
    > without any layer a number is one frame: begin at 1

    kernels-multiplied: the kernels are multiplied, as if neighbours never shared a frame
    - field += (kernel - 1) * step
    + field *= kernel
    > neighbours overlap: two kernels of 3 see 5 frames, not 9

    last-first: the layers are taken from the last to the first
    - for kernel, stride in layers:
    + for kernel, stride in layers[::-1]:
    > the first layer is the one that reads frames: go through the list as it is

    times-all-strides: the field is multiplied by every stride
    - field += (kernel - 1) * step
    - step *= stride
    + field = (field + kernel - 1) * stride
    > a stride spreads what comes behind it; what was seen before stays as wide as it was

    longest-kernel: the longest kernel is returned
    - field += (kernel - 1) * step
    + field = max(field, kernel)
    > every layer adds to what the ones before it saw
""")


@exercise.disguise("own-stride")
def own_stride_too(layers):
    return 1 + sum(
        (kernel - 1) * math.prod(stride for _, stride in layers[: index + 1])
        for index, (kernel, _) in enumerate(layers)
    )


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
