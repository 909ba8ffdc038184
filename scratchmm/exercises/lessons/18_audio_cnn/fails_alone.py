"""Exercise bug.fails_alone: what trains well, tests well, and fails when a sound comes by itself."""

from typing import Any

import torch
from torch import Tensor, nn

from scratchmm.audio.audio_cnn import AudioCNN, AudioCNNConfig
from scratchmm.exercises.format import Exercise
from scratchmm.exercises.kinds import Bank, judged_by_bank

exercise = Exercise(
    id="bug.fails_alone",
    order=60,
    target="scratchmm.exercises.lessons.18_audio_cnn.fails_alone:check_alone",
    title="Find the bug: another answer in a batch",
    goal="write the check: AssertionError unless a sound has the same logits alone and in a batch",
    minutes=30,
    difficulty=3,
    section="Trains well, fails alone",
    needs=("audio_cnn.mean_over_time",),
    shown=("LeaksPadding",),
    hints="""
        1. Two sounds, of 9 frames and of 4. In a batch the second has 5 frames of padding. Its
           logits there may be [0.3, 0.1] and, alone with its 4 frames, [0.2, 0.2].
        2. LeaksPadding masks its input and what is averaged. In between, the first convolution
           writes into the frame behind the end, and the second takes it from there. Other models
           depend on the batch by a norm, the longest length, the order.
        3. Give a model a few batches in train(), for a fresh norm changes nothing, then eval(). A
           batch (B, M, F) of several lengths, not sorted, numbers other than zero in the padding.
           Each sound by itself, (1, M, n), must have its logits of the batch, to 0.0001.
        4. model = model_class(5, 3); real = torch.arange(9) < torch.tensor([[4], [9], [6]]); x =
           torch.randn(3, 5, 9) + 1; model(x, real) five times; model.eval(); together = model(x,
           real); for b, n in enumerate((4, 9, 6)): assert (model(x[b : b + 1, :, :n], real[b : b +
           1, :n])[0] - together[b]).abs().max() < 1e-4
    """,
)


class LeaksPadding(nn.Module):
    """A small classifier of sounds: two convolutions over time, the mean over real frames, a head.

    It trains as well as any other and its accuracy on the test set is good, measured in batches.
    Yet a sound alone has other logits than in a batch. Leave it as it is: your check must catch it.

    >>> LeaksPadding(5, 3)(torch.randn(2, 5, 9), torch.ones(2, 9) > 0).shape
    torch.Size([2, 3])
    """

    def __init__(self, mels: int, classes: int) -> None:
        super().__init__()
        self.first = nn.Conv1d(mels, 8, kernel_size=3, padding=1)
        self.second = nn.Conv1d(8, 8, kernel_size=3, padding=1)
        self.first_norm, self.second_norm = nn.BatchNorm1d(8), nn.BatchNorm1d(8)
        self.head = nn.Linear(8, classes)

    def forward(self, log_mel: Tensor, real: Tensor) -> Tensor:
        """log_mel: (B, M, F); real: bool (B, F), True on frames of the sound. Returns (B, K)."""
        x = log_mel.masked_fill(~real[:, None], 0.0)
        x = self.first_norm(self.first(x)).relu()
        x = self.second_norm(self.second(x)).relu()
        x = x.masked_fill(~real[:, None], 0.0)
        return self.head(x.sum(dim=2) / real.sum(dim=1, keepdim=True))


def check_alone(model_class: Any) -> None:
    """Raise AssertionError unless a sound has the same logits alone and in a batch.

    model_class(mels, classes) makes a model as LeaksPadding is one: model(log_mel, real) takes
    float32 (B, M, F) and bool (B, F), True on the frames of each sound, padding behind them, and
    gives logits (B, K). Accept it if, after a few batches in train() and then in eval(), the logits
    of a sound that comes alone and without padding are those it has in a batch, up to 0.0001,
    whatever sounds are beside it, in any order, however long the padding is and whatever finite
    numbers stand there. Reject every other. A right model may be of any kind, and may use chance
    in training. Sounds have at least one frame. This check is graded, on LeaksPadding and others.

    >>> check_alone(LeaksPadding)
    Traceback (most recent call last):
    AssertionError: alone, sound 0 of 4 frames has other logits than in the batch
    """
    torch.manual_seed(0)
    model, lengths = model_class(5, 3), (4, 11, 7, 1)
    log_mel = 2 * torch.randn(4, 5, 11) + 1  # numbers in the padding too
    real = torch.arange(11) < torch.tensor(lengths)[:, None]
    for _ in range(5):
        model(log_mel, real)  # for the norms' statistics: a fresh one hides the fault
    model.eval()
    with torch.no_grad():
        together = model(log_mel, real)
        for place, length in enumerate(lengths):
            one, mask = log_mel[place : place + 1, :, :length], real[place : place + 1, :length]
            told = f"alone, sound {place} of {length} frames has other logits than in the batch"
            assert (model(one, mask)[0] - together[place]).abs().max() < 1e-4, told


class Mended(LeaksPadding):
    """Its steps stand apart, so that each can be replaced."""

    def clean(self, x, real):
        return x.masked_fill(~real[:, None], 0.0)

    enter = clean

    def first_layer(self, x, real):
        return self.clean(self.first_norm(self.first(x)).relu(), real)

    def pool(self, x, real):
        return x.sum(dim=2) / real.sum(dim=1, keepdim=True)

    def forward(self, x, real):
        x = self.first_layer(self.enter(x, real), real)
        x = self.clean(self.second_norm(self.second(x)).relu(), real)
        return self.head(self.pool(x, real))


class Recurrent(nn.Module):
    def __init__(self, mels, classes):
        super().__init__()
        self.cell, self.head = nn.GRU(mels, 8, batch_first=True), nn.Linear(8, classes)

    def forward(self, x, real):
        states, _ = self.cell(x.transpose(1, 2))
        return self.head(states[torch.arange(len(real)), real.sum(dim=1) - 1])


class ByFrames(nn.Module):
    rate = 0.0

    def __init__(self, mels, classes):
        super().__init__()
        layers = nn.Linear(mels, 8), nn.LayerNorm(8), nn.ReLU(), nn.Dropout(self.rate)
        self.layers, self.head = nn.Sequential(*layers), nn.Linear(8, classes)

    def forward(self, x, real):
        x = self.layers(x.transpose(1, 2)) * real[..., None]
        return self.head(x.sum(dim=1) / real.sum(dim=1, keepdim=True))


def changed(base=Mended, **steps):
    return type("Changed", (base,), steps)


def each_by_itself(m, x, real):
    return torch.cat([Recurrent.forward(m, y[None, :, r], r[None, r]) for y, r in zip(x, real)])


RIGHTS = {
    "each sound by itself": changed(Recurrent, forward=each_by_itself),
    "recurrent, up to the last real frame": Recurrent,
    "frame by frame, the padding times zero": ByFrames,
    "frame by frame, with dropout in training": changed(ByFrames, rate=0.3),
    "LeaksPadding, mended": Mended,
    "the loudest frame": changed(pool=lambda m, x, r: (x + r[:, None].log()).amax(dim=2)),
    "the library's": lambda mels, kinds: AudioCNN(AudioCNNConfig(kinds, mels, channels=(4, 6))),
}
WRONGS = {
    "padding between two convolutions": LeaksPadding,
    "the mean over the padding too": changed(pool=lambda m, x, r: x.mean(dim=2)),
    "divided by the longest": changed(pool=lambda m, x, r: x.sum(2) / r.sum(1).max()),
    "the first length for all": changed(pool=lambda m, x, r: x.sum(2) / r[0].sum()),
    "cut to the shortest": changed(enter=lambda m, x, r: x * r.all(0)),
    "what stands in the padding is encoded": changed(enter=lambda m, x, r: x),
    "the batch's mean is taken off": changed(enter=lambda m, x, r: m.clean(x - x.mean(0), r)),
    "divided by the loudest": changed(enter=lambda m, x, r: m.clean(x, r) / (x.mT[r]).abs().max()),
    "places as parts of the longest": changed(
        enter=lambda m, x, r: m.clean(x + torch.linspace(0, 1, x.shape[2]), r)
    ),
    "a norm behind the mask": changed(
        first_layer=lambda m, x, r: m.first_norm(m.clean(m.first(x), r)).relu()
    ),
    "the state after the padding": changed(
        Recurrent, forward=lambda m, x, r: Recurrent.forward(m, x, r.new_ones(r.shape))
    ),
    "sorted by length, and not put back": changed(
        forward=lambda m, x, r: Mended.forward(m, x, r)[r.sum(1).argsort(0, True)]
    ),
}
judged_by_bank(exercise, lambda: Bank(RIGHTS, WRONGS))
SOME = (4, 9, 6, 1)  # lengths


def trained(kind, lengths=SOME, batches=5):
    """A model whose norms have had batches, in eval(), and a batch of 9 frames for it."""
    torch.manual_seed(3)
    model, real = kind(5, 3), torch.arange(9) < torch.tensor(lengths)[:, None]
    for _ in range(batches):
        model(2 * torch.randn(len(lengths), 5, 9) + 1, real)
    return model.eval().requires_grad_(False), 2 * torch.randn(len(lengths), 5, 9) + 1, real


def judged(kind, lengths=SOME, most=1e-4, batches=5, fill=None, train=False, cut=True, which=None):
    """A check by parts: which batch, which of its sounds are compared, and with what."""
    model, x, real = trained(kind, lengths, batches)
    x = x if fill is None else x.masked_fill(~real[:, None], fill)
    together = model.train(train)(x, real)
    for b in which or range(len(lengths)):
        n = lengths[b] if cut else 9
        difference = model(x[b : b + 1, :, :n], real[b : b + 1, :n])[0] - together[b]
        assert (difference.abs() <= most).all()


TESTS = {
    "accepts-everything": lambda kind: judged(kind, most=torch.inf),
    "rejects-everything": lambda kind: judged(kind, most=-1),
    "no-padding": lambda kind: judged(kind, (9, 9, 9)),
    "no-neighbours": lambda kind: judged(kind, (5,)),
    "alone-with-its-padding": lambda kind: judged(kind, cut=False),
    "zeros-in-the-padding": lambda kind: judged(kind, fill=0.0),
    "fresh-model": lambda kind: judged(kind, batches=0),
    "still-training": lambda kind: judged(kind, (4, 9, 6, 2), train=True),
    "longest-only": lambda kind: judged(kind, which=(1,)),
    "sorted-already": lambda kind: judged(kind, (9, 6, 4, 1)),
    "to-the-last-bit": lambda kind: judged(kind, (8, 9, 6, 5), most=0),
    "no-numbers-in-the-padding": lambda kind: judged(kind, fill=torch.nan),
    "nearly-the-same": lambda kind: judged(kind, most=0.1),
}
STORIES = """
    nothing is asserted, so every model is accepted; compare logits by an assert
    every model is rejected, the right ones too; mend a copy of LeaksPadding, and accept it
    all sounds are of one length: there is no padding; give them lengths that differ
    the sound has no others beside it; some models depend on them: put several into the batch
    the sound is taken from the batch with its padding; cut it, and its mask, to its own frames
    there are only zeros in the padding; let other numbers stand there: silence in dB is not 0
    fresh norms take away 0 and divide by 1, so zeros stay zeros; give the model batches in train()
    the model stays in train(), where norms take the batch and dropout draws; call eval() first
    only the longest sound is compared, which has no padding; compare every sound of the batch
    the sounds come sorted by length, so that sorting changes nothing; give them in another order
    logits must be equal to the last bit, which sums in another order never are; allow 0.0001
    the padding is filled with nan, which is not promised; finite numbers: times zero is right too
    logits may differ by 0.1, and some wrong ones do not differ so much; right ones keep to 0.0001
"""
for (name, answer), line in zip(TESTS.items(), STORIES.strip().split("\n"), strict=True):
    told, _, advice = line.strip().partition("; ")
    exercise.wrong(name, story=told, advice=advice)(answer)


@exercise.right("in pairs")
def in_pairs(kind):
    for lengths in ((3, 9), (9, 3), (1, 6)):
        judged(kind, lengths, batches=8)


@exercise.right("more padding, other numbers in it, other neighbours")
def more_padding(kind):
    model, x, real = trained(kind, (5, 9, 3))
    longer = model(nn.functional.pad(x, (0, 5), value=40), nn.functional.pad(real, (0, 5)))
    together = torch.stack([model(x, real), longer])
    for b, n in enumerate((5, 9, 3)):
        alone = model(x[b : b + 1, :, :n], real[b : b + 1, :n])
        assert (together[:, b] - alone).abs().max() < 1e-4
