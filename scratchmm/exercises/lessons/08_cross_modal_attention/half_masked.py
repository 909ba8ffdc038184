"""Exercise bug.half_masked: a model of images and questions whose scores depend on padding."""

import itertools
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
    title="Find the bug: scores that depend on padding",
    goal="write the check: AssertionError if a reader's scores depend on padding or on the rest of "
    "the batch",
    minutes=25,
    difficulty=3,
    section="Padding masks",
    needs=("cross_modal.CrossModalAttention", "cross_modal.masked_mean"),
    shown=("HalfMaskedReader",),
    hints="""
        1. Give a reader the question `7 3` and one image: scores (0.2, 0.5). Beside the longer
           question `4 1 1 8 2` it becomes `7 3 0 0 0`, with the last three not real. Its scores
           must be (0.2, 0.5) again; those of HalfMaskedReader are not.
        2. Neither shapes nor the loss show the mistake. So pass the same question twice, in ways
           that should make no difference: other numbers in the padding; more of it, or none; other
           questions beside it. Some readers fail in one of these only, and some at one length only.
        3. Take questions (B, T) whose numbers of real words differ, real (B, T), images (B, N, 6).
           For each sample, its scores alone, cut to its real words, (1, K). For many T, below N,
           equal to N and above, and several numbers in the padding: the batch has those scores.
        4. alone = reader(tokens[i : i + 1, :n], real[i : i + 1, :n], image[i : i + 1]); for T in
           range(4, 12), fillings 0 and 5: assert_close(scores[i : i + 1], alone, rtol=1e-3, ...)
    """,
)


class HalfMaskedReader(nn.Module):
    """A question and an image in, a score for each of 5 answers out. Words and image attend to
    each other, and the results are averaged.

    It trains well, but its scores of a question depend on those beside it. Leave it as it is:
    it is what your check has to catch.
    """

    def __init__(self) -> None:
        super().__init__()
        self.words, self.patches = nn.Embedding(11, 12), nn.Linear(6, 12)
        self.words_attention = MultiHeadAttention(12, heads=3)
        self.image_attention = MultiHeadAttention(12, heads=3)
        self.answers = nn.Linear(24, 5)

    def forward(self, tokens: Tensor, real: Tensor, image: Tensor) -> Tensor:
        """tokens: int64 (B, T), each 0 ... 10; real: bool (B, T), True on real tokens; image:
        (B, N, 6), without padding. Returns scores (B, 5)."""
        words, patches = self.words(tokens), self.patches(image)
        seen = words + self.words_attention(words, patches)  # an image has no padding: no mask
        said = patches + self.image_attention(patches, words)
        question = (seen * real[..., None]).sum(dim=1) / real.sum(dim=1, keepdim=True)
        return self.answers(torch.cat([question, said.mean(dim=1)], dim=-1))


def check_padding(reader: nn.Module) -> None:
    """Raise AssertionError if a reader's scores depend on padding, or on the other samples.

    reader: (tokens, real, image) -> scores (B, 5), as HalfMaskedReader takes them; built and
    ready. Real words stand first, at least one a question; padding behind them may be any number
    from 0 to 10. T, N and B may be any number from 1 to 16. Accept every reader whose scores come
    from each sample's real words and image alone (or from less), up to rounding; reject every
    other. This check is what is asked for and graded, on HalfMaskedReader and others.

    >>> check_padding(HalfMaskedReader())
    Traceback (most recent call last):
    AssertionError: question 0 has other scores when it is padded to 4 words
    """
    counts = torch.tensor([2, 4, 1, 3])
    words, image = torch.randint(0, 11, (4, 4)), torch.randn(4, 5, 6)
    with torch.no_grad():
        alone = []
        for i, n in enumerate(counts.tolist()):
            cut = words[i : i + 1, :n], torch.ones(1, n, dtype=torch.bool), image[i : i + 1]
            alone.append(reader(*cut))
        for length in range(4, 9):  # also as many words as image tokens: a mask fits both then
            real = torch.arange(length) < counts[:, None]
            for filling in (0, 5):
                tokens = torch.full((4, length), filling)
                tokens[:, :4] = words.where(real[:, :4], tokens[:, :4])
                for i, scores in enumerate(reader(tokens, real, image)):
                    same = torch.allclose(scores, alone[i][0], rtol=1e-3, atol=1e-4)
                    place = f"question {i} has other scores when it is padded"
                    assert same, f"{place} to {length} words"


class Masked(HalfMaskedReader):
    """The mended one; its steps are apart, so that each can be exchanged."""

    def __init__(self, **steps: Any) -> None:
        super().__init__()
        self.image = self.scores = lambda x: x
        self.mask = lambda real, tokens: real
        self.question = lambda seen, real: masked_mean(seen, real)
        self.scene = lambda said, real: masked_mean(said)
        vars(self).update(steps)

    def forward(self, tokens, real, image):
        words, patches = self.words(tokens), self.patches(self.image(image))
        mask = padding_mask(self.mask(real, tokens))
        said = patches + self.image_attention(patches, words, mask)
        question = self.question(words + self.words_attention(words, patches), real)
        return self.scores(self.answers(torch.cat([question, self.scene(said, real)], dim=-1)))


class OneByOne(HalfMaskedReader):
    """Each question is cut to its words and read alone."""

    def forward(self, tokens, real, image):
        cut = ((t[r][None], r[r][None], x[None]) for t, r, x in zip(tokens, real, image))
        return torch.cat([super(OneByOne, self).forward(*one) for one in cut])


def if_it_fits(said, real):
    return masked_mean(said, real if real.shape == said.shape[:2] else None)


WRONGS: dict[str, dict[str, Any]] = {
    "its mean over the words takes padding in": {"question": lambda seen, real: seen.mean(1)},
    "it divides by T": {"question": lambda seen, real: (seen * real[..., None]).mean(1)},
    "the last place is its last word": {"question": lambda seen, real: seen[:, -1]},
    "it takes the largest number, over padding too": {"question": lambda seen, real: seen.amax(1)},
    "it goes by the number 0, not by the mask": {"mask": lambda real, tokens: real | (tokens != 0)},
    "the first mask is that of all": {"mask": lambda real, tokens: real[:1].expand_as(real)},
    "it hides what is padding in all": {"mask": lambda real, tokens: real.any(0).expand_as(real)},
    "where T is N the words' mask is the image's too": {"scene": if_it_fits},
    "it subtracts the batch's mean": {"scores": lambda scores: scores - 0.5 * scores.mean(0)},
}


def bank() -> Bank:
    """Readers by name, with the same weights each time, in case a learner's test trains them."""
    rights = {
        "HalfMaskedReader with the words' mask where the image attends": Masked(),
        "each question read alone": OneByOne(),
        "scores in the hundreds": Masked(scores=lambda scores: 300 * scores),
        "words alone": Masked(image=lambda image: 0 * image),
    }
    wrongs = {"HalfMaskedReader: the image attends to padding words": HalfMaskedReader()}
    wrongs |= {f"a reader: {name}": Masked(**steps) for name, steps in WRONGS.items()}
    for name, reader in (rights | wrongs).items():
        generator = torch.Generator().manual_seed(0)
        for parameter in reader.parameters():
            nn.init.normal_(parameter, std=0.4, generator=generator)
        vars(reader.eval())["__name__"] = name  # for the message
    return Bank(rights=rights, wrongs=wrongs)


judged_by_bank(exercise, bank)


COUNTS = torch.tensor([2, 4, 1, 3])  # real words of the questions of the tests below
WORDS = torch.arange(16).view(4, 4) * 7 % 11
IMAGE = (torch.arange(120).view(4, 5, 6) * 0.7).sin()


@torch.no_grad()
def padded(reader, length, filling=0, counts=COUNTS, rows=slice(None)):
    """The scores of some of the questions, padded to a length."""
    real = torch.arange(length) < counts[:, None]
    tokens = torch.full((4, length), filling)
    tokens[:, :4] = WORDS[:, :length].where(real[:, :4], tokens[:, :4])
    return reader(tokens[rows], real[rows], IMAGE[rows])


def each(reader, lengths, filling=0, counts=COUNTS):
    """The scores of one question at a time, each padded to a length of its own."""
    return torch.cat([padded(reader, n, filling, counts, [i]) for i, n in enumerate(lengths)])


def compare(lengths=(4, 5, 8), fillings=(0, 5), rows=slice(None), counts=COUNTS, single=False,
            contents=False, rtol=1e-3, atol=1e-4):  # fmt: skip
    """A test: questions padded, together or one at a time, against each without padding."""

    def check(reader):
        expected = each(reader, counts.tolist(), counts=counts)
        for length, filling in itertools.product(lengths, fillings):
            expected = padded(reader, length) if contents else expected
            scores = padded(reader, length, filling, counts)
            scores = each(reader, [length] * 4, filling) if single else scores
            torch.testing.assert_close(scores[rows], expected[rows], rtol=rtol, atol=atol)

    return check


for name, test, story, advice in (
    ("accepts-everything", lambda reader: None,
     "nothing is asserted that padding changes: shapes are right and the loss falls with it too",
     "compare the scores of the same question in two batches, with an assert"),
    ("rejects-everything", compare(rtol=0.0, atol=0.0),
     "every reader is rejected: a real word is changed, or rounding is not allowed for",
     "mend a copy of HalfMaskedReader, which your check must accept; assert_close has tolerances"),
    ("too-strict", compare(rtol=0.0, atol=1e-5),
     "the tolerance is the same however large the scores are",
     "a score of 300 rounds in its fifth digit: allow a part of the number too (rtol)"),
    ("contents-only", compare((5, 6, 8), contents=True),
     "only what stands in the padding is changed, not how much of it there is",
     "a reader may also count it: add padding, and take it away"),
    ("amount-only", compare(fillings=(0,)),
     "only the amount of padding is changed, and all of it is 0",
     "a reader may go by the number 0 instead of the mask: put other words there too"),
    ("one-amount", compare(lengths=(7,)),
     "only one length is tried, and a mask may fit another by chance",
     "try many lengths, also as many words as the image has tokens"),
    ("one-question", compare(single=True),
     "one question is read at a time, so no other mask or score can get in",
     "read several of different lengths at once, and compare with each alone"),
    ("first-question-only", compare(rows=[0]),
     "only the scores of the first question are compared",
     "compare all rows: the first one's mask may be right where another's is not"),
    ("same-length", compare(counts=torch.tensor([3, 3, 3, 3])),
     "all questions are of the same length, so any mask will do for all",
     "let the questions of a batch differ in how many of their words are real"),
):  # fmt: skip
    exercise.wrong(name, story=story, advice=advice)(test)


@exercise.right("random company")
@torch.no_grad()
def random_company(reader):
    image, question = torch.randn(1, 5, 6), torch.randint(0, 11, (1, 3))
    expected = reader(question, torch.ones(1, 3).bool(), image)
    for length in range(4, 13):
        tokens = torch.randint(0, 11, (6, length))
        real = torch.arange(length) < torch.tensor([length, 2, 3, length, 1, 3])[:, None]
        tokens[2, :3] = tokens[5, :3] = question
        images = torch.cat([torch.randn(2, 5, 6), image, torch.randn(2, 5, 6), image])
        scores = reader(tokens, real, images)[[2, 5]]
        assert torch.allclose(scores, expected.expand(2, -1), rtol=1e-3, atol=1e-4)


@exercise.right("more padding, other padding, other rows")
def three_ways(reader):
    for length in range(4, 11):
        scores, rows = padded(reader, length, 3), torch.tensor([3, 1])
        some = padded(reader, length, 3, rows=rows), scores[rows]
        more = padded(reader, length + 1, 3), scores
        for found, expected in (some, more, (padded(reader, length), scores)):
            assert ((found - expected).abs() <= 1e-4 + 1e-3 * expected.abs()).all()
