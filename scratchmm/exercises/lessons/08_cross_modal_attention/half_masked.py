"""Exercise bug.half_masked: a reader of images and questions whose padding speaks."""

from typing import Any

import torch
from torch import Tensor, nn

from scratchmm.exercises.format import Exercise
from scratchmm.exercises.kinds import Bank, judged_by_bank
from scratchmm.fusion.cross_modal import masked_mean
from scratchmm.layers.attention import MultiHeadAttention, padding_mask

exercise = Exercise(
    id="bug.half_masked",
    order=40,
    target="scratchmm.exercises.lessons.08_cross_modal_attention.half_masked:check_padding",
    title="Find the bug: padding that speaks",
    goal="write the check: AssertionError if what a reader answers depends on padding or on the "
    "rest of the batch",
    minutes=25,
    difficulty=3,
    section="Padding masks",
    needs=("cross_modal.CrossModalAttention", "cross_modal.masked_mean"),
    shown=("HalfMaskedReader",),
    hints=(
        "Ask a reader `7 3` of one image: scores (0.2, 0.5). Ask it the same together with the "
        "longer question `4 1 1 8 2`, so that the first becomes `7 3 0 0 0`, with the last three "
        "not real. Its scores must be (0.2, 0.5) again. Those of HalfMaskedReader are not.",
        "Neither shapes nor the loss show the mistake: a loss falls with padding that speaks too, "
        "and the answers change only when a question is asked in other company. So ask the same "
        "question twice, in two ways that should make no difference: other numbers in the padding; "
        "more of it, or none; other questions beside it. Some readers fail in one of these only, and "
        "some at one length only: try many, also as many words as the image has tokens.",
        "Take questions (B, T) whose numbers of real words differ, real (B, T), images (B, N, 6). "
        "For each sample, its scores when asked alone, cut to its real words, (1, K). For many T, "
        "below N, equal to N and above it, and for several numbers in the padding: the scores of the "
        "whole batch, row by row, must be those, up to rounding.",
        "for i, n in enumerate(real.sum(1)): alone = reader(tokens[i : i + 1, :n], real[i : i + 1, "
        ":n], image[i : i + 1]); and for T in range(4, 12), for filling in (0, 5): the padded "
        "batch; torch.testing.assert_close(scores[i : i + 1], alone, rtol=1e-3, atol=1e-4)",
    ),
)


class HalfMaskedReader(nn.Module):
    """A question and an image in, a score for each of 5 answers out. Words and image look at
    each other, and what both have found is averaged.

    It trains as well as any other. Yet what it answers to a question depends on the questions
    beside it. Leave it as it is: it is what your check has to catch.
    """

    def __init__(self) -> None:
        super().__init__()
        self.words, self.patches = nn.Embedding(11, 12), nn.Linear(6, 12)
        self.words_look = MultiHeadAttention(12, heads=3)
        self.image_looks = MultiHeadAttention(12, heads=3)
        self.answers = nn.Linear(24, 5)

    def forward(self, tokens: Tensor, real: Tensor, image: Tensor) -> Tensor:
        """tokens: int64 (B, T), each 0 ... 10; real: bool (B, T), True on real tokens; image:
        (B, N, 6), without padding. Returns scores (B, 5)."""
        words, patches = self.words(tokens), self.patches(image)
        seen = words + self.words_look(words, patches)  # an image has no padding: no mask
        said = patches + self.image_looks(patches, words)
        question = (seen * real[..., None]).sum(dim=1) / real.sum(dim=1, keepdim=True)
        return self.answers(torch.cat([question, said.mean(dim=1)], dim=-1))


def check_padding(reader: nn.Module) -> None:
    """Raise AssertionError if what a reader answers depends on padding, or on the other samples.

    reader: (tokens, real, image) -> scores (B, 5), as HalfMaskedReader takes them; built and
    ready. Real words stand first, at least one a question; padding behind them may be any number
    from 0 to 10. T, N and B may be any number from 1 to 16. Accept every reader that answers each
    sample by its real words and its image alone (or by less), up to rounding; reject every other.
    This check is what is asked for and graded, on HalfMaskedReader and others.

    >>> check_padding(HalfMaskedReader())
    Traceback (most recent call last):
    AssertionError: question 0 is answered otherwise when it is padded to 4 words
    """
    counts = torch.tensor([2, 4, 1, 3])
    words, image = torch.randint(0, 11, (4, 4)), torch.randn(4, 5, 6)
    with torch.no_grad():
        alone = []
        for i, n in enumerate(counts.tolist()):
            asked = words[i : i + 1, :n], torch.ones(1, n, dtype=torch.bool), image[i : i + 1]
            alone.append(reader(*asked))
        for length in range(4, 9):  # also as many words as image tokens: a mask fits both then
            real = torch.arange(length) < counts[:, None]
            for filling in (0, 5):
                tokens = torch.full((4, length), filling)
                tokens[:, :4] = words.where(real[:, :4], tokens[:, :4])
                for i, scores in enumerate(reader(tokens, real, image)):
                    same = torch.allclose(scores, alone[i][0], rtol=1e-3, atol=1e-4)
                    place = f"question {i} is answered otherwise when it is padded"
                    assert same, f"{place} to {length} words"


class Masked(HalfMaskedReader):
    """The mended one; its steps are apart, so that each can be broken."""

    def seen(self, words, real, patches):
        return words + self.words_look(words, patches)

    def said(self, words, real, patches):
        return patches + self.image_looks(patches, words, padding_mask(real))

    def question(self, seen, real):
        return masked_mean(seen, real)

    def scene(self, said, real):
        return masked_mean(said)

    def forward(self, tokens, real, image):
        words, patches = self.words(tokens), self.patches(image)
        question = self.question(self.seen(words, real, patches), real)
        scene = self.scene(self.said(words, real, patches), real)
        return self.answers(torch.cat([question, scene], dim=-1))


class OneByOne(Masked):
    """Each question is cut to its words and asked alone: no mask is needed."""

    def forward(self, tokens, real, image):
        counts = real.sum(1).tolist()
        rows = [
            HalfMaskedReader.forward(
                self, tokens[i : i + 1, :n], real[i : i + 1, :n], image[i : i + 1]
            )
            for i, n in enumerate(counts)
        ]
        return torch.cat(rows)


class Loud(Masked):
    """Its scores are in the hundreds, so rounding is larger too."""

    def forward(self, tokens, real, image):
        return 300 * super().forward(tokens, real, image)


class WordsAlone(Masked):
    """Does not look at the image: no good reader, but deaf to padding."""

    def forward(self, tokens, real, image):
        question = masked_mean(self.words(tokens), real)
        return self.answers(torch.cat([question, question], dim=-1))


class Recurrent(Masked):
    """Reads word after word, and stops where padding begins."""

    def forward(self, tokens, real, image):
        words, state = self.words(tokens).tanh(), torch.zeros(len(tokens), 12)
        for t in range(tokens.shape[1]):
            state = torch.where(real[:, t, None], (0.5 * state + words[:, t]).tanh(), state)
        seen = self.words_look(state[:, None], self.patches(image))[:, 0]
        return self.answers(torch.cat([state, seen], dim=-1))


class MeanOfAll(Masked):
    """The mean over the question's words takes padding in."""

    def question(self, seen, real):
        return seen.mean(1)


class DividesByLength(Masked):
    """Padding is zero in the sum, but is counted: other padding words change nothing."""

    def question(self, seen, real):
        return seen.masked_fill(~real[..., None], 0.0).mean(1)


class ZeroIsPadding(Masked):
    """Goes by the number 0 and not by the mask: nobody notices while all padding is 0."""

    def forward(self, tokens, real, image):
        words, patches = self.words(tokens), self.patches(image)
        guessed = real | (tokens != 0)
        question = self.question(self.seen(words, real, patches), real)
        return self.answers(torch.cat([question, self.said(words, guessed, patches).mean(1)], 1))


class LastWord(Masked):
    """Takes the last place for the last word."""

    def question(self, seen, real):
        return seen[:, -1]


class LargestOfAll(Masked):
    """The largest number of each feature, over padding too."""

    def question(self, seen, real):
        return seen.amax(1)


class FromTheEnd(Masked):
    """Adds where each word stands, counted from the end of the row."""

    def seen(self, words, real, patches):
        places = torch.arange(words.shape[1]).flip(0)[:, None] / 8
        return super().seen(words, real, patches) + places


class FirstMask(Masked):
    """The first question's mask is used for all."""

    def said(self, words, real, patches):
        return super().said(words, real[:1].expand_as(real), patches)


class LongestMask(Masked):
    """Hides only what is padding in every question of the batch."""

    def said(self, words, real, patches):
        return super().said(words, real.any(0).expand_as(real), patches)


class FitsByChance(Masked):
    """Lays the words' mask over the image as well, if there are as many tokens."""

    def scene(self, said, real):
        return masked_mean(said, real if real.shape[1] == said.shape[1] else None)


class Neighbours(Masked):
    """Takes the mean over the batch off, as batch norm does in training."""

    def forward(self, tokens, real, image):
        scores = super().forward(tokens, real, image)
        return scores - 0.5 * scores.mean(0, keepdim=True)


WRONGS = {
    HalfMaskedReader: "HalfMaskedReader: the image looks at padding words",
    MeanOfAll: "a reader whose mean over the words takes padding in",
    DividesByLength: "a reader that divides by T: only the amount of padding matters to it",
    ZeroIsPadding: "a reader that goes by the number 0, not by the mask: only what stands in the "
    "padding matters to it",
    LastWord: "a reader that takes the last place for the last word",
    LargestOfAll: "a reader that takes the largest number, over padding too",
    FromTheEnd: "a reader that counts the words' places from the end of the row",
    FirstMask: "a reader that uses the first question's mask for all",
    LongestMask: "a reader that hides only what is padding in every question of the batch",
    FitsByChance: "a reader that lays the words' mask over the image too, if T is N",
    Neighbours: "a reader that takes the mean over the batch off its scores",
}
_made: dict[type[nn.Module], tuple[Any, list[Tensor]]] = {}


def made(reader_class: type[nn.Module]) -> Any:
    """A reader with fixed weights. It is built once, for that takes time, and its weights are set
    anew each time, in case a learner's test has trained it."""
    if reader_class not in _made:
        reader, generator = reader_class(), torch.Generator().manual_seed(0)
        for parameter in reader.parameters():
            nn.init.normal_(parameter, std=0.4, generator=generator)
        vars(reader)["__name__"] = reader_class.__name__  # for the message
        _made[reader_class] = reader, [x.detach().clone() for x in reader.parameters()]
    reader, weights = _made[reader_class]
    with torch.no_grad():
        for parameter, weight in zip(reader.parameters(), weights, strict=True):
            parameter.copy_(weight).requires_grad_()
    return reader.eval()


def bank() -> Bank:
    rights = {
        "HalfMaskedReader with the words' mask where the image looks": Masked,
        "each question asked alone": OneByOne,
        "scores in the hundreds": Loud,
        "word after word": Recurrent,
        "words alone": WordsAlone,
    }
    return Bank(
        rights={name: made(kind) for name, kind in rights.items()},
        wrongs={kind.__name__: made(kind) for kind in WRONGS},
        stories={kind.__name__: story for kind, story in WRONGS.items()},
    )


judged_by_bank(exercise, bank)
