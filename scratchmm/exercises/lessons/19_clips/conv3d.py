"""Exercise cnn3d.conv3d: a convolution over time and space, made of flat ones."""

import itertools

import torch
import torch.nn.functional as F

from scratchmm.exercises.format import Exercise

exercise = Exercise(
    id="cnn3d.conv3d",
    order=20,
    target="scratchmm.video.cnn3d:conv3d",
    title="Three dimensions out of two",
    goal="each time offset of the kernel convolves the frames that lie so far away; add them up",
    minutes=25,
    difficulty=3,
    section="Over time and space",
    forbidden=("torch.nn.functional.conv3d", "torch.conv3d", "torch.convolution"),
    hints="""
        1. One pixel, 4 frames: 1, 2, 3, 4, and a kernel of 3 over time: 10, 1, 100. The first frame
           gets 0 * 10 + 1 * 1 + 2 * 100 = 201, since nothing stands before it; the second 1 * 10 +
           2 * 1 + 3 * 100 = 312; the last 3 * 10 + 4 * 1 = 34.
        2. A box of numbers times a box of pixels is a sum over the box's slices: each is a flat
           kernel that meets one frame. So every offset is one ordinary convolution of images, and
           all frames of all clips may go through it together, as one batch.
        3. T // 2 frames of zeros before the first and behind the last. For offset k of T: the F
           frames from k on, (B, C, F, H, W), axes exchanged to (B, F, C, H, W) so that frames join
           the batch, (B * F, C, H, W); convolved with the slice (D, C, Y, X), padded by Y // 2 rows
           and X // 2 columns: (B * F, D, H, W). Add up all T, and the bias once. Part the batch
           again and exchange the axes back.
        4. padded = F.pad(x, (0, 0, 0, 0, time // 2, time // 2)).transpose(1, 2); for each offset:
           images = padded[:, offset : offset + frames].flatten(0, 1), and add F.conv2d(images,
           weight[:, :, offset], padding=(height // 2, width // 2)); then total.unflatten(0, (-1,
           frames)).transpose(1, 2)
    """,
)


def inputs(case, T=3, Y=5, X=1, B=2, C=3):
    """Clips and a kernel; every size is another one."""
    return case.normal(B=B, C=C, F=4, H=7, W=6), case.normal(D=5, C=C, T=T, Y=Y, X=X, scale=0.5)


def oracle(x, weight, bias=None):
    return F.conv3d(x, weight, bias, padding=[size // 2 for size in weight.shape[2:]])


@exercise.holds("the result has the sizes of x, and as many channels as the kernel makes")
def shape(conv3d, case):
    x, weight = inputs(case)
    case.shape(case.call(conv3d, x, weight), "B D F H W")


@exercise.holds("one pixel: each frame gets the frame before, itself and the one behind, weighed")
def one_pixel(conv3d, case):
    x = case.named(torch.tensor([1.0, 2, 3, 4]).view(1, 1, 4, 1, 1), "B C F H W")
    weight = case.named(torch.tensor([10.0, 1, 100]).view(1, 1, 3, 1, 1), "D C T Y X")
    case.equal(case.call(conv3d, x, weight).flatten(), torch.tensor([201.0, 312, 423, 34]))


@exercise.holds("a kernel of one frame convolves each frame by itself")
def frame_by_frame(conv3d, case):
    x, weight = inputs(case, T=1, Y=3, X=5)
    got = case.call(conv3d, x, weight)
    for frame in range(4):
        flat = F.conv2d(x[:, :, frame], weight[:, :, 0], padding=(1, 2))
        case.equal(got[:, :, frame], flat, f"frame {frame}")


@exercise.holds("it is the convolution over all three axes, for kernels of any odd sizes")
def any_kernel(conv3d, case):
    for sizes in ((3, 5, 1), (5, 1, 3), (7, 3, 5)):
        x, weight = inputs(case, *sizes)
        case.equal(case.call(conv3d, x, weight), oracle(x, weight), f"kernel {sizes}")


@exercise.holds("a clip gives what it gives alone: the ends of two clips never meet")
def alone(conv3d, case):
    x, weight = inputs(case, T=3, Y=1, X=3)
    alone = case.named(x[1:].clone(), "B C F H W")
    case.equal(case.call(conv3d, alone, weight), case.call(conv3d, x, weight)[1:])


@exercise.holds("the bias of each channel is added once")
def biased(conv3d, case):
    x, weight = inputs(case)
    bias = case.normal(D=5)
    case.equal(case.call(conv3d, x, weight, bias), oracle(x, weight, bias))


@exercise.holds("clip and kernel stay as they were")
def unchanged(conv3d, case):
    x, weight = inputs(case)
    case.call(conv3d, x, weight, case.normal(D=5))
    case.unchanged()


@exercise.holds("the gradients reach clip, kernel and bias")
def gradients(conv3d, case):
    x, weight = inputs(case, T=3, Y=1, X=3)
    case.gradients(conv3d, oracle, x, weight, case.normal(D=5))


exercise.mistakes("""
    no-padding-in-time: frames are lost: nothing stands before the first and behind the last
    - frames, (time, height, width) = x.shape[2], weight.shape[2:]
    - padded = F.pad(x, (0, 0, 0, 0, time // 2, time // 2)).transpose(1, 2)
    + time, height, width = weight.shape[2:]
    + frames = max(x.shape[2] - time + 1, 1)
    + padded = x.transpose(1, 2)
    > T // 2 frames of zeros at both ends keep the number of frames

    backwards: the kernel runs backwards in time: its first slice meets the frame behind
    - flat = weight[:, :, offset]
    + flat = weight[:, :, time - 1 - offset]
    > offset 0 lies before the frame, the last offset behind it

    only-the-past: all the zeros stand before the first frame, so that each frame sees only the past
    - padded = F.pad(x, (0, 0, 0, 0, time // 2, time // 2)).transpose(1, 2)
    + padded = F.pad(x, (0, 0, 0, 0, time - 1, 0)).transpose(1, 2)
    > half of them before, half behind: the middle of the kernel meets the frame itself

    held-at-the-ends: beyond the ends the first and the last frame are repeated instead of zeros
    - padded = F.pad(x, (0, 0, 0, 0, time // 2, time // 2)).transpose(1, 2)
    + padded = F.pad(x, (0, 0, 0, 0, time // 2, time // 2), mode="replicate").transpose(1, 2)
    > zeros stand there, as at the borders of the images

    round-and-round: the frames are rolled, so that the first frame sees the last
    - images = padded[:, offset : offset + frames].flatten(0, 1)
    + images = x.roll(time // 2 - offset, dims=2).transpose(1, 2).flatten(0, 1)
    > torch.roll brings back at one end what leaves at the other: pad with zeros instead

    torn-apart: the axes are reshaped, not exchanged: an image's channels come from several frames
    - padded = F.pad(x, (0, 0, 0, 0, time // 2, time // 2)).transpose(1, 2)
    + padded = F.pad(x, (0, 0, 0, 0, time // 2, time // 2))
    - images = padded[:, offset : offset + frames].flatten(0, 1)
    + images = padded[:, :, offset : offset + frames].reshape(-1, x.shape[1], *x.shape[3:])
    > exchange C and F before frames join the batch: transpose(1, 2), then flatten(0, 1)

    clips-touch: frames are shifted after they joined the batch: the end of a clip meets the next one
    - padded = F.pad(x, (0, 0, 0, 0, time // 2, time // 2)).transpose(1, 2)
    + padded = F.pad(x.transpose(0, 1).flatten(1, 2), (0, 0, 0, 0, time // 2, time // 2))
    - images = padded[:, offset : offset + frames].flatten(0, 1)
    + images = padded[:, offset : offset + len(x) * frames].transpose(0, 1)
    > pad and cut along the frames while the batch is still an axis of its own
""")

exercise.slips("""
    total + F.conv2d(images, flat, => total + F.conv2d(images, flat / time,
    (height // 2, width // 2) => 1
    total + F.conv2d => F.conv2d
    height // 2, width // 2 => width // 2, height // 2
    range(time) => [time // 2]
    :, :, offset => :, :, 0
    time // 2, time // 2 => 1, 1 ;; range(time) => range(min(3, time))
    x.new_zeros(()) if bias is None else bias[:, None, None] => 0 ;;
        flat, padding => flat, bias, padding
    return => weight.data.zero_(); return
""")


@exercise.right("frame by frame")
def by_result(x, weight, bias=None):
    """For each frame of the result, the neighbours that exist."""
    frames, time = x.shape[2], weight.shape[2]
    padding = (weight.shape[3] // 2, weight.shape[4] // 2)
    out = [0.0] * frames
    for frame, k in itertools.product(range(frames), range(time)):
        if 0 <= frame + k - time // 2 < frames:
            near = x[:, :, frame + k - time // 2]
            out[frame] = out[frame] + F.conv2d(near, weight[:, :, k], padding=padding)
    result = torch.stack(out, dim=2)
    return result if bias is None else result + bias[:, None, None, None]


@exercise.right("offsets as channels")
def by_channels(x, weight, bias=None):
    """All offsets side by side as channels of one flat convolution."""
    time, frames = weight.shape[2], x.shape[2]
    whole = F.pad(x, (0, 0, 0, 0, time // 2, time // 2))
    side_by_side = torch.cat([whole[:, :, k : k + frames] for k in range(time)], dim=1)
    flat = weight.transpose(1, 2).flatten(1, 2)
    images = side_by_side.transpose(1, 2).flatten(0, 1)
    out = F.conv2d(images, flat, bias, padding=(flat.shape[2] // 2, flat.shape[3] // 2))
    return out.unflatten(0, (len(x), frames)).transpose(1, 2)
