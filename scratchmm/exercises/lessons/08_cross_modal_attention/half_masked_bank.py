"""Wrong and other right answers to bug.half_masked: tests that miss some readers, or blame good ones."""

import torch

from scratchmm.exercises.format import exercise_file

exercise = exercise_file("08_cross_modal_attention/half_masked").exercise

COUNTS = (2, 4, 1, 3)  # real words of the questions below


def some_words():
    return torch.arange(16).view(4, 4) * 7 % 11


def some_image(count=5):
    return (torch.arange(4 * count * 6).view(4, count, 6) * 0.7).sin()


def padded(length, filling=0):
    """The questions padded to a length, and which of it is real."""
    real = torch.arange(length) < torch.tensor(COUNTS)[:, None]
    tokens = torch.full((4, length), filling)
    tokens[:, :4] = some_words().where(real[:, :4], tokens[:, :4])
    return tokens, real


@torch.no_grad()
def ask(reader, asked, image=None):
    return reader(*asked, some_image() if image is None else image)


def alone(reader, image=None):
    """Each question asked by itself, without padding."""
    image = some_image() if image is None else image
    rows = [
        ask(reader, (some_words()[i : i + 1, :n], torch.ones(1, n).bool()), image[i : i + 1])
        for i, n in enumerate(COUNTS)
    ]
    return torch.cat(rows)


def close(one, other):
    return torch.allclose(one, other, rtol=1e-3, atol=1e-4)


@exercise.wrong(
    "accepts-everything",
    story="nothing is asserted, so every reader is accepted",
    advice="compare two answers to the same question, with an assert",
)
def accepts_everything(reader):
    ask(reader, padded(6))


@exercise.wrong(
    "rejects-everything",
    story="every reader is rejected, the right ones too",
    advice="mend a copy of HalfMaskedReader: your check must accept it",
)
def rejects_everything(reader):
    raise AssertionError("padding speaks")


@exercise.wrong(
    "to-the-last-bit",
    story="answers are compared to the last bit, and sums over other lengths round differently",
    advice="torch.testing.assert_close with a tolerance allows for rounding",
    twin="rejects-everything",
)
def to_the_last_bit(reader):
    for length in (4, 5, 8, 13):
        assert torch.equal(ask(reader, padded(length)), alone(reader))


@exercise.wrong(
    "too-strict",
    story="the tolerance is the same however large the scores are",
    advice="a score of 300 rounds in its fifth digit: allow a part of the number too (rtol)",
)
def too_strict(reader):
    for length in (4, 5, 8):
        for filling in (0, 5):
            scores = ask(reader, padded(length, filling))
            assert torch.allclose(scores, alone(reader), rtol=0.0, atol=1e-5)


@exercise.wrong(
    "real-words-changed",
    story="a real word is changed too, and then the answer may well differ",
    advice="change only where real is False",
    twin="rejects-everything",
)
def real_words_changed(reader):
    (tokens, real), changed = padded(6), padded(6)[0]
    changed[:, 1:] = (changed[:, 1:] + 3) % 11
    assert close(ask(reader, (tokens, real)), ask(reader, (changed, real)))


@exercise.wrong(
    "must-look-at-the-image",
    story="readers that do not look at the image are rejected too",
    advice="only padding and the rest of the batch are asked about",
)
def must_look_at_the_image(reader):
    with_it, without = ask(reader, padded(6)), ask(reader, padded(6), 0 * some_image())
    assert not close(with_it, without)


@exercise.wrong(
    "shape-only",
    story="only the shape and the finiteness of the scores are looked at",
    advice="padding that speaks gives scores of the right shape",
    twin="accepts-everything",
)
def shape_only(reader):
    scores = ask(reader, padded(6))
    assert scores.shape == (4, 5) and scores.isfinite().all()


@exercise.wrong(
    "loss-falls",
    story="it is asked that the loss falls in training, which it does with the bug as well",
    advice="compare two answers to the same question instead",
    twin="accepts-everything",
)
def loss_falls(reader):
    target, losses = torch.tensor([0, 3, 1, 4]), []
    for _ in range(2):
        scores = reader(*padded(6), some_image())
        losses.append(torch.nn.functional.cross_entropy(scores, target))
        found = torch.autograd.grad(losses[-1], [*reader.parameters()], allow_unused=True)
        with torch.no_grad():
            for parameter, gradient in zip(reader.parameters(), found):
                if gradient is not None:
                    parameter -= 1e-7 * gradient
    assert losses[1] <= losses[0] + 1e-4


@exercise.wrong(
    "contents-only",
    story="only what stands in the padding is changed, not how much of it there is",
    advice="a reader may also count it: add padding, and take it away",
)
def contents_only(reader):
    for length in (5, 6, 8):
        one, other = ask(reader, padded(length)), ask(reader, padded(length, 5))
        assert close(one, other)


@exercise.wrong(
    "amount-only",
    story="only the amount of padding is changed, and all of it is 0",
    advice="a reader may go by the number 0 instead of the mask: put other words there too",
)
def amount_only(reader):
    for length in (4, 5, 8):
        assert close(ask(reader, padded(length)), alone(reader))


@exercise.wrong(
    "one-amount",
    story="only one length is tried, and a mask may fit another by chance",
    advice="try many lengths, also as many words as the image has tokens",
)
def one_amount(reader):
    for filling in (0, 5):
        assert close(ask(reader, padded(7, filling)), alone(reader))


@exercise.wrong(
    "one-question",
    story="one question is asked at a time, so nobody else's mask or scores can get in",
    advice="ask several of different lengths at once, and compare with each asked alone",
)
def one_question(reader):
    expected = alone(reader)
    for i in range(4):
        for length in (5, 8):
            for filling in (0, 5):
                tokens, real = (x[i : i + 1] for x in padded(length, filling))
                scores = ask(reader, (tokens, real), some_image()[i : i + 1])
                assert close(scores, expected[i : i + 1])


@exercise.wrong(
    "first-question-only",
    story="only the scores of the first question are compared",
    advice="compare all rows: the first one's mask may be right where another's is not",
)
def first_question_only(reader):
    for length in (5, 8):
        for filling in (0, 5):
            assert close(ask(reader, padded(length, filling))[0], alone(reader)[0])


@exercise.wrong(
    "same-length",
    story="all questions are of the same length, so any mask will do for all",
    advice="let the questions of a batch differ in how many of their words are real",
)
def same_length(reader):
    image, words = some_image(), some_words()[:, :3]
    one = torch.ones(1, 3, dtype=torch.bool)
    expected = [ask(reader, (words[i : i + 1], one), image[i : i + 1])[0] for i in range(4)]
    for length in (4, 5, 8):
        for filling in (0, 5):
            tokens = torch.cat([words, torch.full((4, length - 3), filling)], 1)
            real = (torch.arange(length) < 3).expand(4, length)
            assert close(ask(reader, (tokens, real), image), torch.stack(expected))


@exercise.disguise("contents-only")
def contents_only_too(reader):
    tokens, real = padded(8)
    noise = (torch.arange(32).view(4, 8) * 5 + 3) % 11
    torch.testing.assert_close(
        ask(reader, (tokens.where(real, noise), real)),
        ask(reader, (tokens.where(real, noise.flip(0)), real)),
        rtol=1e-3,
        atol=1e-4,
    )


@exercise.disguise("amount-only")
def amount_only_too(reader):
    for length in range(4, 12):
        torch.testing.assert_close(ask(reader, padded(length)), alone(reader), rtol=1e-3, atol=1e-3)


@exercise.right("alone against together")
def alone_against_together(reader):
    for count in (3, 6):
        image = some_image(count)
        expected = alone(reader, image)
        for length in range(4, 10):
            for filling in (0, 8):
                scores = ask(reader, padded(length, filling), image)
                torch.testing.assert_close(scores, expected, rtol=1e-3, atol=1e-4)


@exercise.right("random company")
def random_company(reader):
    image = torch.randn(1, 5, 6)
    question = torch.randint(0, 11, (1, 3))
    with torch.no_grad():
        expected = reader(question, torch.ones(1, 3).bool(), image)
        for length in range(4, 13):
            tokens = torch.randint(0, 11, (6, length))
            real = torch.arange(length) < torch.tensor([length, 2, 3, length, 1, 3])[:, None]
            for row in (2, 5):
                tokens[row, :3] = question
            images = torch.cat([torch.randn(2, 5, 6), image, torch.randn(2, 5, 6), image])
            scores = reader(tokens, real, images)
            for row in (2, 5):
                assert close(scores[row], expected[0]), f"row {row} of {length} words"


@exercise.right("more padding, other padding, other rows")
def three_ways(reader):
    image = some_image(7)
    for length in range(5, 11):
        tokens, real = padded(length, 3)
        scores = ask(reader, (tokens, real), image)
        other = ask(reader, padded(length, 0), image)
        longer = ask(reader, padded(length + 1, 3), image)
        rows = torch.tensor([3, 1])
        part = reader(tokens[rows], real[rows], image[rows])
        for found, expected in ((other, scores), (longer, scores), (part, scores[rows])):
            assert ((found - expected).abs() <= 1e-4 + 1e-3 * expected.abs()).all()
