"""Exercise bug.leaking_mask: a language model that trains well because its mask leaks."""

import torch
from torch import Tensor, nn

from scratchmm.exercises.format import Exercise
from scratchmm.exercises.kinds import Bank, judged_by_bank
from scratchmm.layers.transformer import Transformer, TransformerBlock

exercise = Exercise(
    id="bug.leaking_mask",
    order=40,
    target="scratchmm.exercises.lessons.02_transformer.leaking_mask:check_no_peeking",
    title="Find the bug: write the check that catches it",
    goal="write the check: AssertionError if a decoder's logits at a position depend on later tokens",
    minutes=20,
    difficulty=3,
    section="A bug that trains wonderfully",
    needs=("transformer.TransformerBlock", "attention.causal_mask"),
    shown=("LeakingDecoder",),
    hints="""
        1. Give a decoder the tokens 4 7 1 and then 4 7 2. Its logits at the first two positions
           must be the same numbers both times, because neither may depend on the third token. Those
           of LeakingDecoder differ at the second position.
        2. Neither shapes nor the loss show the mistake: a model that attends to the next token
           predicts it well. Two inputs that differ in the future only do; and try every position.
        3. Random tokens (B, T), T as long as the decoder takes. For each position t from 1 on: a
           copy in which every token from t on is another one; both through the decoder; the logits
           before t, (B, t, V), must agree to a small tolerance, with an assert.
        4. logits = decoder(tokens); for t in range(1, T): changed = tokens.clone(); changed[:, t:]
           = (changed[:, t:] + 1) % 11; torch.testing.assert_close(decoder(changed)[:, :t],
           logits[:, :t])
    """,
)


class LeakingDecoder(nn.Module):
    """A small language model: int64 tokens (B, T), T at most 16, to logits (B, T, 11).

    Its loss falls faster than that of any other model of its size. What it generates is nonsense.
    Leave it as it is: it is what your check has to catch.
    """

    def __init__(self, depth: int = 2) -> None:
        super().__init__()
        self.tokens = nn.Embedding(11, 12)
        self.positions = nn.Embedding(16, 12)
        self.stack = Transformer(TransformerBlock(12, heads=3, hidden=20) for _ in range(depth))
        self.logits = nn.Linear(12, 11)

    def visible(self, length: int) -> Tensor:
        """Which keys a query may attend to: bool (T, T), True = may be attended to."""
        return ~torch.ones(length, length, dtype=torch.bool).triu(diagonal=2)

    def forward(self, tokens: Tensor) -> Tensor:
        """tokens: int64 (B, T), each 0 ... 10. Returns logits (B, T, 11)."""
        length = tokens.shape[1]
        x = self.tokens(tokens) + self.positions(torch.arange(length))
        return self.logits(self.stack(x, mask=self.visible(length)))


def check_no_peeking(decoder: nn.Module) -> None:
    """Raise AssertionError if the decoder's logits at a position depend on later tokens.

    decoder: int64 tokens (B, T), each 0 ... 10, T at most 16, to logits (B, T, 11); built and ready.
    Accept every causal decoder, however it is made; reject every one that leaks, at whatever
    position, from however far ahead. This check is what is asked for and graded, on LeakingDecoder
    and others; mending a copy of LeakingDecoder is a way to try it.

    >>> check_no_peeking(LeakingDecoder())
    Traceback (most recent call last):
    AssertionError: the logits before position 1 depend on the tokens from there on
    """
    tokens = torch.randint(0, 11, (2, 16))
    with torch.no_grad():
        logits = decoder(tokens)
        for t in range(1, 16):
            changed = tokens.clone()
            changed[:, t:] = (changed[:, t:] + 1) % 11  # another future, the same past
            same = torch.allclose(decoder(changed)[:, :t], logits[:, :t], atol=1e-5)
            assert same, f"the logits before position {t} depend on the tokens from there on"


class Masked(LeakingDecoder):
    """Its mask is made from a square x of True and row numbers i (T, 1); more is added to logits."""

    def __init__(self, mask=lambda x, i: x.tril(), depth: int = 2, more=None) -> None:
        super().__init__(depth)
        self.mask, self.more = mask, more

    def visible(self, length: int) -> Tensor:
        ones = torch.ones(length, length, dtype=torch.bool)
        return self.mask(ones, torch.arange(length)[:, None])

    def forward(self, tokens: Tensor) -> Tensor:
        logits = super().forward(tokens)
        return logits if self.more is None else logits + self.more(logits, tokens)


class Recurrent(nn.Module):
    """Causal without a mask: a GRU runs from left to right."""

    def __init__(self) -> None:
        super().__init__()
        self.tokens, self.gru = nn.Embedding(11, 12), nn.GRU(12, 12, batch_first=True)
        self.logits = nn.Linear(12, 11)

    def forward(self, tokens: Tensor) -> Tensor:
        return self.logits(self.gru(self.tokens(tokens))[0])


RIGHTS = {
    "one whose positions attend to themselves only": lambda: Masked(lambda x, i: i == i.T),
    "LeakingDecoder with the right diagonal": Masked,
    "one block": lambda: Masked(depth=1),
    "a GRU": Recurrent,
}
WRONGS = {
    "LeakingDecoder(depth=1): each position attends to the next": lambda: LeakingDecoder(1),
    "LeakingDecoder: each position attends to the next": LeakingDecoder,
    "a decoder without a mask": lambda: Masked(lambda x, i: x),
    "one that attends five places ahead": lambda: Masked(lambda x, i: x.tril() | (i.T == i + 5)),
    "one whose mask ends at position 12": lambda: Masked(lambda x, i: x.tril() | (i >= 12)),
    "one whose first position attends to all": lambda: Masked(lambda x, i: x.tril() | (i == 0)),
    "one that subtracts the mean of all": lambda: Masked(more=lambda x, _: -x.mean(1, True)),
    "one that mixes in the right neighbour": lambda: Masked(more=lambda x, _: 0.1 * x.roll(-1, 1)),
    "one that adds the last token to all": lambda: Masked(more=lambda _, t: t[:, -1:, None] % 5),
}


def filled(decoder: nn.Module, name: str) -> nn.Module:
    """The decoder with fixed weights, large enough to matter."""
    generator = torch.Generator().manual_seed(0)
    for parameter in decoder.parameters():
        nn.init.normal_(parameter, std=0.5, generator=generator)
    vars(decoder)["__name__"] = name  # for the message
    return decoder.eval()


def made(kinds) -> dict[str, nn.Module]:
    """Decoders, anew each time, in case a learner's test has trained them."""
    return {name: filled(kind(), name) for name, kind in kinds.items()}


judged_by_bank(exercise, lambda: Bank(made(RIGHTS), made(WRONGS)))


def agrees(decoder, start, upto, length=16, stop=None):
    """Asserts the same logits before `upto` where tokens from `start` to `stop` are others."""
    tokens = torch.arange(2 * length).view(2, length) * 7 % 11
    changed = tokens.clone()
    changed[:, start:stop] = (changed[:, start:stop] + 1) % 11
    with torch.no_grad():
        one, other = decoder(tokens)[:, :upto], decoder(changed)[:, :upto]
    assert torch.allclose(one, other, atol=1e-5)


@exercise.wrong(
    "accepts-everything",
    story="the test accepts every decoder",
    advice="run it on two inputs that differ in later tokens, and assert that earlier logits agree",
)
def accepts_everything(decoder):
    assert decoder(torch.zeros(2, 16, dtype=torch.int64)).shape == (2, 16, 11)


@exercise.wrong(
    "past-changed",
    story="the test changes the past and asserts that the logits after it stay the same",
    advice="change the future and compare the logits before it",
)
def past_changed(decoder):
    tokens = torch.arange(32).view(2, 16) % 11
    changed = torch.cat([(tokens[:, :4] + 1) % 11, tokens[:, 4:]], 1)
    torch.testing.assert_close(decoder(tokens)[:, 4:], decoder(changed)[:, 4:])


def wrong_places(name, *places, story, advice, **options):
    """A wrong test: it asserts `agrees` for these places only."""

    @exercise.wrong(name, story=story, advice=advice)
    def wrong(decoder):
        for start, upto in places:
            agrees(decoder, start, upto, **options)


wrong_places(
    "rejects-everything",
    (8, 9),
    story="the test rejects every decoder",
    advice="what stands at and after the changed position may differ: compare what stands before it",
)
wrong_places(
    "last-token-only",
    (15, 13),
    story="the test changes the last token only, so leaks to other places are missed",
    advice="change the tokens from t on, for every t",
)
wrong_places(
    "first-position-only",
    (1, 1),
    story="the test compares the first position only, and a later one may leak",
    advice="compare every position before the change, for every place of the change",
)
wrong_places(
    "short-input",
    (1, 1),
    (2, 2),
    length=3,
    story="the test's input is short, and a leak may begin later",
    advice="use as many tokens as the decoder takes",
)
wrong_places(
    "one-place",
    (8, 8),
    stop=9,
    story="the test changes the future at one place only, in the middle",
    advice="a leak may begin later or end earlier: let t run over all positions",
)
wrong_places(
    "gap",
    *((t, t - 1) for t in range(2, 16)),
    story="the test compares one position too few: the nearest one may leak",
    advice="tokens change from t on: compare [:, :t], not [:, : t - 1]",
)


@exercise.right("cut off")
def cut_off(decoder):
    tokens = torch.randint(0, 11, (2, 16))
    whole = decoder(tokens)
    for t in range(1, 16):
        torch.testing.assert_close(decoder(tokens[:, :t]), whole[:, :t])


@exercise.right("one token at a time")
def one_at_a_time(decoder):
    for t in range(15, 0, -1):
        agrees(decoder, t, t, stop=t + 1)
