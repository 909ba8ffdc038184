"""Exercise bug.fails_alone: what trains well, tests well, and fails when a sound comes by itself."""

from typing import Any

import torch
from torch import Tensor, nn

from scratchmm.exercises.format import Exercise

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
    shown=("HearsItsPadding",),
    hints=(
        "Two sounds, of 9 frames and of 4. In a batch the second has 5 frames of padding. Its logits "
        "there may be [0.3, 0.1] and, when it comes alone with its 4 frames, [0.2, 0.2]. Nobody who "
        "trains and tests in batches ever sees that.",
        "HearsItsPadding masks what goes in and what is averaged. In between, the first convolution "
        "writes into the frame behind the end, and the second reads it there. Others look at their "
        "neighbours in other ways: through a norm, through the longest length, through the order.",
        "Make a model, let it see a few batches in train(), since a fresh norm changes nothing yet, "
        "and turn to eval(). A batch (B, M, F) of sounds of several lengths, neither sorted nor all "
        "alike, with numbers that are not zero in the padding. Each sound once more by itself, (1, M, "
        "n): its logits must be those it had in the batch, to 0.0001.",
        "model = model_class(5, 3); real = torch.arange(9) < torch.tensor([[4], [9], [6]]); x = "
        "torch.randn(3, 5, 9) + 1; model(x, real) five times; model.eval(); together = model(x, "
        "real); for b, n in enumerate((4, 9, 6)): assert (model(x[b : b + 1, :, :n], real[b : b + 1, "
        ":n])[0] - together[b]).abs().max() < 1e-4",
    ),
)


class HearsItsPadding(nn.Module):
    """A small classifier of sounds: two convolutions over time, the mean over real frames, a head.

    It trains as well as any other and its accuracy on the test set is good, measured in batches as
    it always is. Yet a sound that comes alone has other logits than in a batch. Leave it as it is:
    it is what your check has to catch.

    >>> HearsItsPadding(5, 3)(torch.randn(2, 5, 9), torch.ones(2, 9) > 0).shape
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

    model_class(mels, classes) makes a model as HearsItsPadding is one: model(log_mel, real) takes
    float32 (B, M, F) and bool (B, F), True on the frames of each sound, padding behind them, and
    gives logits (B, K). Accept it if, after a few batches in train() and then in eval(), the logits
    of a sound that comes alone and without padding are those it has in a batch, up to 0.0001,
    whatever sounds are beside it, in any order, however long the padding is and whatever finite
    numbers stand there. Reject every other. A right model may be of any kind, and may use chance
    in training. Sounds have at least one frame. This check is what is asked for and graded, on
    HearsItsPadding and others.

    >>> check_alone(HearsItsPadding)
    Traceback (most recent call last):
    AssertionError: alone, sound 0 of 4 frames has other logits than in the batch
    """
    torch.manual_seed(0)
    model, lengths = model_class(5, 3), (4, 11, 7, 1)
    log_mel = 2 * torch.randn(4, 5, 11) + 1  # numbers in the padding too
    real = torch.arange(11) < torch.tensor(lengths)[:, None]
    for _ in range(5):
        model(log_mel, real)  # so that norms have something to go by: a fresh one hides the fault
    model.eval()
    with torch.no_grad():
        together = model(log_mel, real)
        for place, length in enumerate(lengths):
            one = slice(place, place + 1)
            alone = model(log_mel[one, :, :length], real[one, :length])
            same = bool((alone[0] - together[place]).abs().max() < 1e-4)
            told = f"alone, sound {place} of {length} frames has other logits than in the batch"
            assert same, told
