"""Exercise bug.reads_across: what is said of a clip must be said of that clip."""

from typing import Any

import torch
from torch import Tensor, nn

from scratchmm.exercises.format import Exercise

exercise = Exercise(
    id="bug.reads_across",
    order=50,
    target="scratchmm.exercises.lessons.19_clips.reads_across:check_reader",
    title="Find the bug: frames of another clip",
    goal="write the check: AssertionError unless a reader judges each clip by its own frames in order",
    minutes=30,
    difficulty=3,
    section="Gates",
    needs=("lstm.LSTMCell",),
    shown=("ReadsAcross",),
    hints=(
        "Read clips a and b together, then b and a. ReadsAcross says one thing of b the first time "
        "and another the second. Of the first clip of a batch it always says the same, and of a "
        "clip that is read alone: nobody is before it.",
        "nn.LSTM takes time first, (F, B, E), unless it is told otherwise. What is remembered then "
        "goes from clip to clip. No loss shows it, for the network learns to live with it. What "
        "shows it are questions with known answers: the same clip in other company, read twice, "
        "with one frame changed, played backwards. Each question catches other faults.",
        "Build one reader, eval(), double(). Clips (B, F, E), normal, of different sizes. Each read "
        "alone and stacked: (B, K), as all read together. Together once more: the same again. For "
        "each frame a copy of the clips in which it is another: every clip's logits move. "
        "clips.flip(1): they move too.",
        "alone = torch.cat([reader(clip[None]) for clip in clips]); assert (reader(clips) - alone)"
        ".abs().max() < 1e-9, and so once more; for f in range(F): other = clips.clone(); "
        "other[:, f] = torch.randn(B, E); assert ((reader(other) - alone).abs().amax(1) > 1e-7)"
        ".all(); assert the same of reader(clips.flip(1))",
    ),
)


class ReadsAcross(nn.Module):
    """Encoded frames (B, F, E) to logits (B, K): an LSTM reads, its states' mean is judged.

    It trains as well as any other where a frame alone tells what a clip shows, and most sets of
    clips are so. In tests it is right as often, if batches are like those it was trained on. Leave
    it as it is: it is what your check has to catch.

    >>> reader, clips = ReadsAcross(6, 16, 4), torch.randn(3, 5, 6)
    >>> reader(clips).shape
    torch.Size([3, 4])
    >>> bool((reader(clips)[:1] - reader(clips[:1])).abs().max() < 1e-5)  # so far so good
    True
    """

    def __init__(self, features: int, width: int, classes: int) -> None:
        super().__init__()
        self.lstm = nn.LSTM(features, width)
        self.head = nn.Linear(width, classes)

    def forward(self, frames: Tensor) -> Tensor:
        """frames: float (B, F, E). Returns logits (B, K)."""
        states, _ = self.lstm(frames)
        return self.head(states.mean(dim=1))


def check_reader(reader_class: Any) -> None:
    """Raise AssertionError unless a reader judges each clip by its own frames, in their order.

    reader_class: takes features E, width and classes K, as ReadsAcross does, and makes a module
    that takes float (B, F, E), F of 3 or more, to logits (B, K). Judge it after eval(), as a reader
    may drop out or norm in training. Accept it if the logits of a clip do not depend on the clips
    beside it, nor on what was read before; if every frame counts; and if a clip that is played
    backwards gives other logits. Reject every other. Right ones may still differ by 1e-10 in
    float64 between one batch and another. This check is what is asked for and graded, on
    ReadsAcross and others.

    >>> check_reader(ReadsAcross)
    Traceback (most recent call last):
    AssertionError: the clips beside a clip count
    """
    reader = reader_class(6, 16, 4).eval().double()
    clips = torch.randn(5, 4, 6, dtype=torch.float64)

    def differ(other):
        with torch.no_grad():
            return (reader(other) - alone).abs().amax(dim=1)

    with torch.no_grad():
        alone = torch.cat([reader(clip[None]) for clip in clips])
    assert (differ(clips) < 1e-9).all(), "the clips beside a clip count"
    assert (differ(clips) < 1e-9).all(), "what was read before counts"
    for frame in range(clips.shape[1]):
        other = clips.clone()
        other[:, frame] = torch.randn(5, 6, dtype=torch.float64)
        assert (differ(other) > 1e-7).all(), f"frame {frame} does not count"
    assert (differ(clips.flip(1)) > 1e-7).all(), "the order of the frames does not count"
