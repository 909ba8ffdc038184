"""Wrong and other right answers to cnn3d.conv3d."""

import torch
import torch.nn.functional as F

from scratchmm.exercises.format import exercise_file

exercise = exercise_file("19_clips/conv3d").exercise


def flat_ones_added(x, weight, bias, frames_at, slices=None):
    """The plan of hint 3; frames_at(offset) gives the frames (B, C, F, H, W) that an offset meets."""
    height, width = weight.shape[3:]
    total = 0
    for offset in range(weight.shape[2]) if slices is None else slices:
        images = frames_at(offset).transpose(1, 2).flatten(0, 1)
        flat = weight[:, :, offset]
        total = total + F.conv2d(images, flat, padding=(height // 2, width // 2))
    if bias is not None:
        total = total + bias[:, None, None]
    return total.unflatten(0, (len(x), -1)).transpose(1, 2)


def padded(x, before, behind):
    return F.pad(x, (0, 0, 0, 0, before, behind))


@exercise.wrong(
    "no-padding-in-time",
    story="frames are lost: nothing stands before the first and behind the last",
    advice="T // 2 frames of zeros at both ends keep the number of frames",
)
def no_padding_in_time(x, weight, bias=None):
    left = max(x.shape[2] - weight.shape[2] + 1, 1)
    return flat_ones_added(x, weight, bias, lambda offset: x[:, :, offset : offset + left])


@exercise.wrong(
    "backwards",
    story="the kernel runs backwards in time: its first slice meets the frame behind",
    advice="offset 0 lies before the frame, the last offset behind it",
)
def backwards(x, weight, bias=None):
    whole, frames = padded(x, weight.shape[2] // 2, weight.shape[2] // 2), x.shape[2]
    return flat_ones_added(
        x, weight.flip(2), bias, lambda offset: whole[:, :, offset : offset + frames]
    )


@exercise.wrong(
    "only-the-past",
    story="all the zeros stand before the first frame, so that each frame sees only the past",
    advice="half of them before, half behind: the middle of the kernel meets the frame itself",
)
def only_the_past(x, weight, bias=None):
    whole, frames = padded(x, weight.shape[2] - 1, 0), x.shape[2]
    return flat_ones_added(x, weight, bias, lambda offset: whole[:, :, offset : offset + frames])


@exercise.wrong(
    "held-at-the-ends",
    story="beyond the ends the first and the last frame are repeated instead of zeros",
    advice="zeros stand there, as at the borders of the images",
)
def held_at_the_ends(x, weight, bias=None):
    half, frames = weight.shape[2] // 2, x.shape[2]
    whole = torch.cat([x[:, :, :1]] * half + [x] + [x[:, :, -1:]] * half, dim=2)
    return flat_ones_added(x, weight, bias, lambda offset: whole[:, :, offset : offset + frames])


@exercise.wrong(
    "round-and-round",
    story="the frames are rolled, so that the first frame sees the last",
    advice="torch.roll brings back at one end what leaves at the other: pad with zeros instead",
)
def round_and_round(x, weight, bias=None):
    half = weight.shape[2] // 2
    return flat_ones_added(x, weight, bias, lambda offset: x.roll(half - offset, dims=2))


@exercise.wrong(
    "torn-apart",
    story="the axes are reshaped and not exchanged: an image's channels come from several frames",
    advice="exchange C and F before frames join the batch: transpose(1, 2), then flatten(0, 1)",
)
def torn_apart(x, weight, bias=None):
    whole, frames = padded(x, weight.shape[2] // 2, weight.shape[2] // 2), x.shape[2]
    batch, channels, _, *sides = x.shape
    return flat_ones_added(
        x,
        weight,
        bias,
        lambda offset: (
            whole[:, :, offset : offset + frames]
            .reshape(batch, frames, channels, *sides)
            .transpose(1, 2)
        ),
    )


@exercise.wrong(
    "clips-touch",
    story="frames are shifted after they joined the batch: the end of one clip meets the next one",
    advice="pad and cut along the frames while the batch is still an axis of its own",
)
def clips_touch(x, weight, bias=None):
    half, frames = weight.shape[2] // 2, x.shape[2]
    row = x.transpose(0, 1).flatten(1, 2)
    row = F.pad(row, (0, 0, 0, 0, half, half))

    def frames_at(offset):
        cut = row[:, offset : offset + len(x) * frames]
        return cut.unflatten(1, (len(x), frames)).transpose(0, 1)

    return flat_ones_added(x, weight, bias, frames_at)


exercise.edit(
    "one-pixel-of-padding",
    ("padding=(height // 2, width // 2)", "padding=1"),
    story="the images are padded by 1, which keeps their size for kernels of 3 only",
    advice="half the kernel: Y // 2 rows and X // 2 columns",
)
exercise.edit(
    "bias-every-time",
    (
        "flat, padding=(height // 2, width // 2))",
        "flat, bias, padding=(height // 2, width // 2))",
    ),
    ("x.new_zeros(()) if bias is None else bias[:, None, None]", "0"),
    story="the bias is added once for every offset",
    advice="add it once, when the offsets have been added up",
)
exercise.edit(
    "no-bias",
    ("x.new_zeros(()) if bias is None else bias[:, None, None]", "0"),
    story="the bias is left out",
    advice="bias: D numbers, one a channel of the result",
)
exercise.edit(
    "overwritten",
    ("total = total + F.conv2d", "total = F.conv2d"),
    story="only the last offset counts: each overwrites the one before",
    advice="add the results up over the offsets",
)
exercise.edit(
    "sides-exchanged",
    ("padding=(height // 2, width // 2)", "padding=(width // 2, height // 2)"),
    story="the padding of rows and columns is exchanged",
    advice="(rows, columns): the kernel's height first, as in (D, C, T, Y, X)",
)
exercise.edit(
    "axes-left",
    (".unflatten(0, (-1, frames)).transpose(1, 2)", ".unflatten(0, (-1, frames))"),
    story="the result is (B, F, D, H, W): the axes were not exchanged back",
    advice="channels come before frames in what conv3d returns, as in x",
)


@exercise.wrong(
    "only-the-middle",
    story="only the middle slice of the kernel is used: frames never hear of each other",
    advice="every offset in time has a slice of its own: weight[:, :, offset]",
)
def only_the_middle(x, weight, bias=None):
    return flat_ones_added(x, weight, bias, lambda offset: x, slices=[weight.shape[2] // 2])


@exercise.wrong(
    "one-slice-for-all",
    story="every offset uses the same slice of the kernel",
    advice="take weight[:, :, offset] inside the loop",
)
def one_slice_for_all(x, weight, bias=None):
    same = weight[:, :, :1].expand_as(weight)
    whole, frames = padded(x, weight.shape[2] // 2, weight.shape[2] // 2), x.shape[2]
    return flat_ones_added(x, same, bias, lambda offset: whole[:, :, offset : offset + frames])


@exercise.wrong(
    "mean",
    story="the offsets are averaged instead of added",
    advice="a convolution adds: nothing is divided by T",
)
def mean(x, weight, bias=None):
    whole, frames = padded(x, weight.shape[2] // 2, weight.shape[2] // 2), x.shape[2]
    return flat_ones_added(
        x, weight / weight.shape[2], bias, lambda offset: whole[:, :, offset : offset + frames]
    )


@exercise.wrong(
    "always-three",
    story="the kernel is taken to have three slices in time, whatever its size",
    advice="read the size in time from weight.shape[2]",
)
def always_three(x, weight, bias=None):
    whole, frames = padded(x, 1, 1), x.shape[2]
    slices = range(min(3, weight.shape[2]))
    return flat_ones_added(
        x, weight, bias, lambda offset: whole[:, :, offset : offset + frames], slices
    )


@exercise.wrong(
    "overwrites",
    story="the caller's kernel is overwritten",
    advice="nothing that ends in an underscore on what was given to you",
)
def overwrites(x, weight, bias=None):
    whole, frames = padded(x, weight.shape[2] // 2, weight.shape[2] // 2), x.shape[2]
    result = flat_ones_added(
        x, weight.clone(), bias, lambda offset: whole[:, :, offset : offset + frames]
    )
    weight.detach().zero_()
    return result


@exercise.wrong(
    "detached",
    story="no gradient reaches the kernel, so it never learns",
    advice="no detach, no no_grad, no .data",
)
def detached(x, weight, bias=None):
    whole, frames = padded(x, weight.shape[2] // 2, weight.shape[2] // 2), x.shape[2]
    return flat_ones_added(
        x, weight.detach(), bias, lambda offset: whole[:, :, offset : offset + frames]
    )


@exercise.disguise("backwards")
def backwards_too(x, weight, bias=None):
    reverse = torch.arange(weight.shape[2] - 1, -1, -1)
    return by_result(x, weight.index_select(2, reverse), bias)


@exercise.disguise("round-and-round")
def round_and_round_too(x, weight, bias=None):
    half = weight.shape[2] // 2
    turns = [(torch.arange(x.shape[2]) + k - half) % x.shape[2] for k in range(weight.shape[2])]
    return flat_ones_added(x, weight, bias, lambda offset: x[:, :, turns[offset]])


@exercise.right("frame by frame")
def by_result(x, weight, bias=None):
    """For each frame of the result, the neighbours that exist."""
    frames, time = x.shape[2], weight.shape[2]
    padding = (weight.shape[3] // 2, weight.shape[4] // 2)
    out = []
    for frame in range(frames):
        near = [k for k in range(time) if 0 <= frame + k - time // 2 < frames]
        parts = [
            F.conv2d(x[:, :, frame + k - time // 2], weight[:, :, k], padding=padding) for k in near
        ]
        out.append(sum(parts))
    result = torch.stack(out, dim=2)
    return result if bias is None else result + bias[:, None, None, None]


@exercise.right("offsets as channels")
def by_channels(x, weight, bias=None):
    """All offsets side by side as channels of one flat convolution."""
    time, frames = weight.shape[2], x.shape[2]
    whole = padded(x, time // 2, time // 2)
    side_by_side = torch.cat([whole[:, :, k : k + frames] for k in range(time)], dim=1)
    flat = weight.transpose(1, 2).flatten(1, 2)
    images = side_by_side.transpose(1, 2).flatten(0, 1)
    out = F.conv2d(images, flat, bias, padding=(flat.shape[2] // 2, flat.shape[3] // 2))
    return out.unflatten(0, (len(x), frames)).transpose(1, 2)
