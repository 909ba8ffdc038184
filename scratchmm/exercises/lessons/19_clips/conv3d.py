"""Exercise cnn3d.conv3d: a convolution over time and space, made of flat ones."""

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
    hints=(
        "One pixel, 4 frames: 1, 2, 3, 4, and a kernel of 3 over time: 10, 1, 100. The first frame "
        "gets 0 * 10 + 1 * 1 + 2 * 100 = 201, since nothing stands before it; the second 1 * 10 + "
        "2 * 1 + 3 * 100 = 312; the last 3 * 10 + 4 * 1 = 34.",
        "A box of numbers times a box of pixels is a sum over the box's slices: each slice is a flat "
        "kernel that meets one frame. So for every offset there is one ordinary convolution of "
        "images, and all frames of all clips may go through it together, as one batch of images.",
        "T // 2 frames of zeros before the first and behind the last. For offset k of T: the F frames "
        "from k on, (B, C, F, H, W), axes exchanged to (B, F, C, H, W) so that frames join the batch, "
        "(B * F, C, H, W); convolved with the slice (D, C, Y, X), padded by Y // 2 rows and X // 2 "
        "columns: (B * F, D, H, W). Add up all T, and the bias once. Part the batch again and "
        "exchange the axes back.",
        "padded = F.pad(x, (0, 0, 0, 0, time // 2, time // 2)).transpose(1, 2); for each offset: "
        "images = padded[:, offset : offset + frames].flatten(0, 1), and add F.conv2d(images, "
        "weight[:, :, offset], padding=(height // 2, width // 2)); then "
        "total.unflatten(0, (-1, frames)).transpose(1, 2)",
    ),
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
