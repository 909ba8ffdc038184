"""Exercise bug.reads_across: what is predicted for a clip must come from that clip."""

from typing import Any

import torch
from torch import Tensor, nn

from scratchmm.exercises.format import Exercise
from scratchmm.exercises.kinds import Bank, judged_by_bank
from scratchmm.layers.lstm import LSTM

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
    hints="""
        1. Give ReadsAcross clips a and b together, then b and a: the logits of b differ. Those of
           the first clip of a batch never do, nor those of a clip alone: none is before it.
        2. nn.LSTM takes time first, (F, B, E), unless told otherwise, and here carries its state
           from clip to clip. No loss shows it. Calls with known answers do: a clip in another
           batch, a batch twice, one frame changed, the clip flipped. Each catches other faults.
        3. One reader, eval(), double(); clips (B, F, E), normal. The logits of each alone, stacked,
           (B, K), equal those of all together, and once more in a second call. For each frame, of
           clips in which it is another, every clip's logits move. Of clips.flip(1) they move too.
        4. alone = torch.cat([reader(clip[None]) for clip in clips]); assert (reader(clips) -
           alone).abs().max() < 1e-9, and again; for f in range(F): other = clips.clone(); other[:,
           f] = torch.randn(B, E); assert ((reader(other) - alone).abs().amax(1) > 1e-7).all();
           the same of reader(clips.flip(1))
    """,
)


class ReadsAcross(nn.Module):
    """Encoded frames (B, F, E) to logits (B, K): an LSTM over time, and the mean of its states.

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

    alone = torch.cat([reader(clip[None]) for clip in clips])

    def differ(other):
        return (reader(other) - alone).abs().amax(dim=1)

    assert (differ(clips) < 1e-9).all(), "the clips beside a clip count"
    assert (differ(clips) < 1e-9).all(), "what was read before counts"
    for frame in range(clips.shape[1]):
        other = clips.clone()
        other[:, frame] = torch.randn(5, 6, dtype=torch.float64)
        assert (differ(other) > 1e-7).all(), f"frame {frame} does not count"
    assert (differ(clips.flip(1)) > 1e-7).all(), "the order of the frames does not count"


class Reader(nn.Module):
    """The mended one: time is the second axis."""

    def __init__(self, features, width, classes):
        super().__init__()
        self.lstm = nn.LSTM(features, width, batch_first=True)
        self.head = nn.Linear(width, classes)

    def read(self, frames):
        return self.head(self.lstm(frames)[0].mean(dim=1))

    forward = read


def changed(forward=Reader.read, **layers):
    """Reader with another forward, and with other layers, each made of (E, H, K)."""

    class Changed(Reader):
        def __init__(self, *sizes):
            super().__init__(*sizes)
            for name, make in layers.items():
                setattr(self, name, make(*sizes))

    Changed.forward = forward
    return Changed


def keeps_its_state(m, x):
    kept = m.kept if m.kept and m.kept[0].shape[1] == len(x) else None
    states, kept = m.lstm(x, kept)
    m.kept = tuple(state.detach() for state in kept)
    return m.head(states.mean(dim=1))


def last_clip_left(m, x):
    last = m.read(x[-2:].flatten(0, 1)[None])
    return torch.cat([m.read(x[:-1]), last]) if len(x) > 1 else last


NORMS = {"head": lambda e, h, k: nn.Sequential(nn.BatchNorm1d(h), nn.Dropout(), nn.Linear(h, k))}
TIME_FIRST = {"lstm": lambda e, h, k: nn.LSTM(e, h)}
RIGHTS = {
    "the mended one": Reader,
    "the last state": changed(lambda m, x: m.head(m.lstm(x)[1][0][-1])),
    "the library's LSTM": changed(lstm=lambda e, h, k: LSTM(e, h)),
    "with dropout and a batch norm": changed(**NORMS),
    "a convolution over time": changed(
        lambda m, x: m.head(m.conv(x.transpose(1, 2)).tanh().mean(dim=2)),
        conv=lambda e, h, k: nn.Conv1d(e, h, 3, padding=1),
    ),
}
WRONGS = {
    "ReadsAcross": ReadsAcross,
    "state to the clip before": changed(lambda m, x: m.read(x.flip(0)).flip(0), **TIME_FIRST),
    "state of the batch before": changed(keeps_its_state, kept=lambda e, h, k: None),
    "frames folded": changed(lambda m, x: m.read(x.reshape(x.shape[1], len(x), -1).swapaxes(0, 1))),
    "the batch's mean off": changed(lambda m, x: m.read(x - x.mean(0) if len(x) > 1 else x)),
    "divided by the batch's size": changed(lambda m, x: m.read(x / x.abs().mean())),
    "state to the last clip": changed(last_clip_left),
    "state to the first": changed(lambda m, x: last_clip_left(m, x.flip(0)).flip(0)),
    "frames in any order": changed(lambda m, x: sum(m.read(f[:, None]) for f in x.unbind(1))),
    "the same backwards": changed(lambda m, x: m.read(x) + m.read(x.flip(1))),
    "the last frame alone": changed(lambda m, x: m.read(x[:, -1:])),
    "without the first frame": changed(lambda m, x: m.read(x[:, 1:])),
    "without the last frame": changed(lambda m, x: m.read(x[:, :-1])),
    "every second frame": changed(lambda m, x: m.read(x[:, ::2])),
}
judged_by_bank(exercise, lambda: Bank(RIGHTS, WRONGS))


def judged(kind, batch=3, company=slice(None), frames=range(4), flip=(3, 2, 1, 0)):
    """A check by parts: which clips are compared, which frames changed, how they are reordered."""
    reader = kind(6, 12, 3).eval().double()
    clips = torch.randn(batch, 4, 6, dtype=torch.float64)
    expected = reader(clips)
    if company is not None:
        expected = torch.cat([reader(clip[None]) for clip in clips])
        for _ in range(2):
            assert ((reader(clips) - expected)[company].abs() < 1e-9).all()
    others = [clips[:, flip]] if flip else []
    for frame in frames:
        others.append(clips.clone())
        others[-1][:, frame] = torch.randn(batch, 6, dtype=torch.float64)
    for other in others:
        assert ((reader(other) - expected).abs().amax(dim=1) > 1e-7).all()


def exchanged_clips(kind):
    judged(kind, company=None)
    reader, clips = kind(6, 12, 3).eval().double(), torch.randn(3, 4, 6).double()
    for roll in (1, 2):
        moved = reader(clips.roll(roll, 0)).roll(-roll, 0)
        assert ((moved - reader(clips)).abs() < 1e-9).all()


TESTS = {
    "accepts-everything": lambda kind: judged(kind, company=None, frames=(), flip=()),
    "rejects-everything": lambda kind: judged(kind, flip=(0, 1, 2, 3)),
    "the-first-clip-only": lambda kind: judged(kind, company=[0]),
    "the-last-clip-only": lambda kind: judged(kind, company=[-1]),
    "batches-of-one": lambda kind: judged(kind, batch=1),
    "exchanged-clips": exchanged_clips,
    "only-company": lambda kind: judged(kind, frames=(), flip=()),
    "company-forgotten": lambda kind: judged(kind, company=None),
    "order-forgotten": lambda kind: judged(kind, flip=()),
    "exchanged-for-backwards": lambda kind: judged(kind, flip=(0, 2, 1, 3)),
    "frames-forgotten": lambda kind: judged(kind, frames=()),
    "the-first-frame-only": lambda kind: judged(kind, frames=[0]),
    "the-last-frame-only": lambda kind: judged(kind, frames=[-1]),
    "in-training": lambda kind: judged(type("Training", (kind,), {"eval": lambda m: m})),
}
STORIES = """
    no clip's logits are compared, so every reader is accepted; run each clip alone and in company
    every reader is rejected, the right ones too; mend a copy by batch_first=True, and accept it
    only the first clip of the batch is compared: none is before it; compare every clip
    only the last clip is compared: a state may also go the other way; compare every clip
    clips are only ever given alone; the others of a batch do the harm: give several together
    only the order of a batch is changed, which a mean over it survives; run each clip alone as well
    a reader of one frame, or of frames in any order, passes; change each frame, and flip the clip
    the clips beside a clip are not tested; run each clip alone and together with others
    whether the order of the frames counts is not tested; flipped in time, other logits must come
    two frames are exchanged, and the clip is not flipped in time; left for right passes: flip all
    whether every frame counts is not tested; put another frame in the place of each, in turn
    only the first frame is changed; put another frame in the place of each, in turn
    only the last frame is changed; put another frame in the place of each, in turn
    dropout and batch norm are blamed, for want of eval(); call eval() first, as the docstring says
"""
for (name, answer), line in zip(TESTS.items(), STORIES.strip().split("\n"), strict=True):
    told, _, advice = line.strip().partition("; ")
    exercise.wrong(name, story=told, advice=advice)(answer)


@exercise.right("by gradients")
def by_gradients(kind):
    reader = kind(4, 11, 3).eval().double()
    clips = torch.randn(3, 4, 4, dtype=torch.float64, requires_grad=True)
    first = reader(clips)
    for row in range(3):
        (gradient,) = torch.autograd.grad(first[row].exp().sum(), clips, retain_graph=True)
        counts = gradient.abs().amax(dim=2) > 1e-10  # of each frame of each clip
        assert counts[row].all() and counts.sum() == 4, "each of its own frames, and no other's"
    assert torch.allclose(reader(clips), first, rtol=0, atol=1e-9), "nothing is kept"
    assert not torch.allclose(reader(clips.flip(1)), first, rtol=0, atol=1e-7), "order counts"


@exercise.right("a clip in several batches")
def several_batches(kind):
    judged(kind, company=None, batch=1)
    reader, clip = kind(5, 10, 2).eval().double(), torch.randn(1, 6, 5).double()
    for before, behind in (0, 0), (2, 0), (0, 3), (1, 1), (0, 0):
        beside = torch.randn(before, 6, 5).double(), torch.randn(behind, 6, 5).double()
        found = reader(torch.cat([beside[0], clip, beside[1]]))[before]
        assert (found - reader(clip)[0]).abs().max() < 1e-9
