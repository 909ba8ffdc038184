"""The models that a check in bug.fails_alone must tell apart: right ones, and wrong ones.

All have a head over features of one size, and all can learn. In the wrong ones something that is
not the sound gets into its features, each time by another way.
"""

import torch
from torch import nn

from scratchmm.audio.audio_cnn import AudioCNN, AudioCNNConfig
from scratchmm.exercises.format import exercise_file
from scratchmm.exercises.kinds import Bank, judged_by_bank

HearsItsPadding = exercise_file("18_audio_cnn/fails_alone").HearsItsPadding
exercise = exercise_file("18_audio_cnn/fails_alone").exercise


class Mended(HearsItsPadding):  # type: ignore[valid-type, misc]
    """The mended one; its steps stand apart, so that each can be broken."""

    def enter(self, x, real):
        return self.clean(x, real)

    def clean(self, x, real):
        return x.masked_fill(~real[:, None], 0.0)

    def first_layer(self, x, real):
        return self.clean(self.first_norm(self.first(x)).relu(), real)

    def second_layer(self, x, real):
        return self.clean(self.second_norm(self.second(x)).relu(), real)

    def pool(self, x, real):
        return x.sum(dim=2) / real.sum(dim=1, keepdim=True)

    def forward(self, log_mel, real):
        x = self.enter(log_mel, real)
        x = self.second_layer(self.first_layer(x, real), real)
        return self.head(self.pool(x, real))


class EachByItself(nn.Module):
    """No batch at all: sound after sound."""

    def __init__(self, mels, classes):
        super().__init__()
        self.first, self.head = nn.Conv1d(mels, 8, 3, padding=1), nn.Linear(8, classes)

    def forward(self, log_mel, real):
        rows = [self.first(x[None, :, there]).relu() for x, there in zip(log_mel, real)]
        return torch.cat([self.head(x.mean(dim=2)) for x in rows])


class ByFrames(nn.Module):
    """Each frame by itself; the padding is multiplied by zero."""

    def __init__(self, mels, classes):
        super().__init__()
        layers = nn.Linear(mels, 8), nn.LayerNorm(8), nn.ReLU()
        self.layers, self.head = nn.Sequential(*layers), nn.Linear(8, classes)

    def forward(self, log_mel, real):
        x = self.layers(log_mel.transpose(1, 2)) * real[..., None]
        return self.head(x.sum(dim=1) / real.sum(dim=1, keepdim=True))


class WithChance(ByFrames):
    def __init__(self, mels, classes):
        super().__init__(mels, classes)
        self.layers.append(nn.Dropout(0.3))


class LoudestFrame(Mended):
    def pool(self, x, real):
        return x.masked_fill(~real[:, None], -torch.inf).amax(dim=2)


class Attentive(Mended):
    def pool(self, x, real):
        scores = x.mean(dim=1, keepdim=True).masked_fill(~real[:, None], -torch.inf)
        return (x * scores.softmax(dim=2)).sum(dim=2)


class Recurrent(nn.Module):
    """The state after each sound's last real frame."""

    def __init__(self, mels, classes):
        super().__init__()
        self.cell, self.head = nn.GRU(mels, 8, batch_first=True), nn.Linear(8, classes)

    def last(self, real):
        return real.sum(dim=1) - 1

    def forward(self, log_mel, real):
        states, _ = self.cell(log_mel.transpose(1, 2))
        return self.head(states[torch.arange(len(real)), self.last(real)])


class OfTheLesson(AudioCNN):
    """The library's."""

    def __init__(self, mels, classes):
        super().__init__(AudioCNNConfig(classes, mels, channels=(4, 6)))


class PlainMean(Mended):
    def pool(self, x, real):
        return x.mean(dim=2)


class ByTheLongest(Mended):
    def pool(self, x, real):
        return x.sum(dim=2) / real.sum(dim=1).max()


class CutToTheShortest(Mended):
    def forward(self, log_mel, real):
        shortest = int(real.sum(dim=1).min())
        return super().forward(log_mel[..., :shortest], real[:, :shortest])


class ReadsWhatStandsThere(Mended):
    def enter(self, x, real):
        return x


class NormBehindTheMask(Mended):
    def first_layer(self, x, real):
        return self.first_norm(self.clean(self.first(x), real)).relu()


class MeasuredByTheBatch(Mended):
    def first_layer(self, x, real):
        x = self.first(x)
        deviation, mean = torch.std_mean(x, dim=(0, 2), keepdim=True, correction=0)
        return self.clean(((x - mean) / (deviation + 1e-3)).relu(), real)


class LoudestOfTheBatch(Mended):
    def enter(self, x, real):
        x = self.clean(x, real)
        return x / x.abs().max().clamp(min=1e-3)


class MeanOfTheBatch(Mended):
    def enter(self, x, real):
        mean = self.clean(x, real).sum(dim=(0, 2)) / real.sum()
        return self.clean(x - mean[:, None], real)


class FirstMask(Mended):
    def pool(self, x, real):
        return x.sum(dim=2) / real[:1].sum(dim=1, keepdim=True)


class PlaceInTheBatch(Mended):
    def enter(self, x, real):
        return self.clean(x + torch.linspace(0, 1, x.shape[2]), real)


class LastOfAll(Recurrent):
    def last(self, real):
        return torch.full((len(real),), real.shape[1] - 1)


class Sorted(Mended):
    def forward(self, log_mel, real):
        order = real.sum(dim=1).argsort(descending=True, stable=True)
        return super().forward(log_mel[order], real[order])


RIGHTS = {
    "each sound by itself": EachByItself,
    "recurrent, up to the last real frame": Recurrent,
    "frame by frame": ByFrames,
    "frame by frame, with dropout in training": WithChance,
    "HearsItsPadding, mended": Mended,
    "the loudest real frame": LoudestFrame,
    "attention over real frames": Attentive,
    "the library's": OfTheLesson,
}
WRONGS = {
    "the padding between two convolutions": HearsItsPadding,
    "the mean over the padding too": PlainMean,
    "all divided by the longest sound's length": ByTheLongest,
    "all cut to the shortest sound's length": CutToTheShortest,
    "what stands in the padding is heard": ReadsWhatStandsThere,
    "a norm behind the mask fills the padding again": NormBehindTheMask,
    "a norm that measures the batch in eval() too": MeasuredByTheBatch,
    "made as loud as the loudest of the batch": LoudestOfTheBatch,
    "the batch's mean is taken away": MeanOfTheBatch,
    "the first sound's length for all": FirstMask,
    "places told as parts of the longest sound": PlaceInTheBatch,
    "the state after the padding": LastOfAll,
    "sorted by length, and not put back": Sorted,
}
judged_by_bank(exercise, lambda: Bank(rights=RIGHTS, wrongs=WRONGS))
