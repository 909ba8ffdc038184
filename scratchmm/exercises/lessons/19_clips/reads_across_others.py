"""Readers that a check of bug.reads_across has to accept or to reject."""

import torch
from torch import nn

from scratchmm.exercises.format import exercise_file
from scratchmm.exercises.kinds import Bank, judged_by_bank
from scratchmm.layers.lstm import LSTM

ReadsAcross = exercise_file("19_clips/reads_across").ReadsAcross
exercise = exercise_file("19_clips/reads_across").exercise


class Reader(nn.Module):
    """The mended one: time is the second axis."""

    def __init__(self, features, width, classes):
        super().__init__()
        self.lstm = nn.LSTM(features, width, batch_first=True)
        self.head = nn.Linear(width, classes)

    def forward(self, frames):
        return self.head(self.lstm(frames)[0].mean(dim=1))


class TimeFirst(Reader):
    """Also mended: the axes change places, there and back."""

    def __init__(self, features, width, classes):
        super().__init__(features, width, classes)
        self.lstm = nn.LSTM(features, width)

    def forward(self, frames):
        return self.head(self.lstm(frames.transpose(0, 1))[0].mean(dim=0))


class LastState(Reader):
    """The state after the last frame."""

    def forward(self, frames):
        return self.head(self.lstm(frames)[1][0][-1])


class WrittenOut(Reader):
    """The library's LSTM."""

    def __init__(self, features, width, classes):
        super().__init__(features, width, classes)
        self.lstm = LSTM(features, width)


class DropsOut(Reader):
    """Drops out and norms by the batch in training; not in eval()."""

    def __init__(self, features, width, classes):
        super().__init__(features, width, classes)
        self.head = nn.Sequential(nn.BatchNorm1d(width), nn.Dropout(0.5), self.head)


class BothWays(Reader):
    """Two LSTMs, one of which reads from the end."""

    def __init__(self, features, width, classes):
        super().__init__(features, width, classes)
        self.lstm = nn.LSTM(features, width, batch_first=True, bidirectional=True)
        self.head = nn.Linear(2 * width, classes)


class Convolution(Reader):
    """A convolution over time in place of an LSTM."""

    def __init__(self, features, width, classes):
        super().__init__(features, width, classes)
        self.mix = nn.Conv1d(features, width, 3, padding=1)

    def forward(self, frames):
        return self.head(self.mix(frames.transpose(1, 2)).tanh().mean(dim=2))


class KeepsItsState(Reader):
    """The state at the end of a batch is where the next begins, if it is as large."""

    def __init__(self, features, width, classes):
        super().__init__(features, width, classes)
        self.kept = None

    def forward(self, frames):
        if self.kept is not None and self.kept[0].shape[1] != len(frames):
            self.kept = None
        states, kept = self.lstm(frames, self.kept)
        self.kept = tuple(state.detach() for state in kept)
        return self.head(states.mean(dim=1))


class AcrossBackwards(ReadsAcross):  # type: ignore[valid-type, misc]
    """What is remembered goes from the last clip to the first."""

    def forward(self, frames):
        return super().forward(frames.flip(0)).flip(0)


class FoldedWrongly(Reader):
    """Frames are folded into the batch, and unfolded in the other order: (F, B) for (B, F)."""

    def forward(self, frames):
        batch, count, _ = frames.shape
        folded = frames.flatten(0, 1).view(count, batch, -1)
        return super().forward(folded.transpose(0, 1))


class NormsByTheBatch(Reader):
    """The mean of the batch is taken off, in eval() too."""

    def forward(self, frames):
        alone = len(frames) == 1
        return super().forward(frames if alone else frames - frames.mean(dim=0, keepdim=True))


class DividesByTheBatch(Reader):
    """Frames are divided by the mean size of the batch's values."""

    def forward(self, frames):
        return super().forward(frames / frames.abs().mean())


class LastClipLeft(Reader):
    """The last clip of a batch is read with the state of the one before it."""

    def forward(self, frames):
        states, (last, cell) = self.lstm(frames)
        if len(frames) > 1:
            kept = last[:, -2:-1].contiguous(), cell[:, -2:-1].contiguous()
            states = torch.cat([states[:-1], self.lstm(frames[-1:], kept)[0]])
        return self.head(states.mean(dim=1))


class FirstClipLeft(LastClipLeft):
    """The first clip of a batch is read with the state of the one behind it."""

    def forward(self, frames):
        return super().forward(frames.flip(0)).flip(0)


class BagOfFrames(Reader):
    """Each frame by itself: their order is lost in the mean."""

    def forward(self, frames):
        batch = len(frames)
        states = self.lstm(frames.flatten(0, 1)[:, None])[0].view(batch, -1, self.lstm.hidden_size)
        return self.head(states.mean(dim=1))


class SameBackwards(Reader):
    """Each clip is read forwards and backwards by the same LSTM: left to right is right to left."""

    def forward(self, frames):
        return super().forward(frames) + super().forward(frames.flip(1))


class LastFrameOnly(Reader):
    """The last frame alone is read."""

    def forward(self, frames):
        return super().forward(frames[:, -1:])


class FirstLeftOut(Reader):
    """The first frame is left out."""

    def forward(self, frames):
        return super().forward(frames[:, 1:])


class LastLeftOut(Reader):
    """The last frame is left out."""

    def forward(self, frames):
        return super().forward(frames[:, :-1])


class EverySecond(Reader):
    """Every second frame is left out."""

    def forward(self, frames):
        return super().forward(frames[:, ::2])


RIGHTS = {
    "the mended one": Reader,
    "time first": TimeFirst,
    "the last state": LastState,
    "the library's LSTM": WrittenOut,
    "with dropout and a batch norm": DropsOut,
    "both ways": BothWays,
    "a convolution over time": Convolution,
}
WRONGS = {
    ReadsAcross: "ReadsAcross itself, whose memory goes from clip to clip",
    AcrossBackwards: "a reader whose memory goes from the last clip to the first",
    KeepsItsState: "a reader that begins where the batch before has ended",
    FoldedWrongly: "a reader that folds frames into the batch and unfolds them in another order",
    NormsByTheBatch: "a reader that takes the batch's mean off",
    DividesByTheBatch: "a reader that divides by the size of the batch's values",
    LastClipLeft: "a reader that gives the last clip the memory of the one before it",
    FirstClipLeft: "a reader that gives the first clip the memory of the one behind it",
    BagOfFrames: "a reader for which the order of frames does not count",
    SameBackwards: "a reader that reads a clip backwards as it does forwards",
    LastFrameOnly: "a reader of the last frame alone",
    FirstLeftOut: "a reader that leaves the first frame out",
    LastLeftOut: "a reader that leaves the last frame out",
    EverySecond: "a reader of every second frame",
}


def bank() -> Bank:
    return Bank(
        rights=RIGHTS,
        wrongs={kind.__name__: kind for kind in WRONGS},
        stories={kind.__name__: story for kind, story in WRONGS.items()},
    )


judged_by_bank(exercise, bank)
