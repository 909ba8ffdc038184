"""Exercise bug.leaking_mask: a language model that trains wonderfully, because it cheats."""

from typing import Any

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
    goal="write the check: AssertionError if what a decoder says at a position depends on later tokens",
    minutes=20,
    difficulty=3,
    section="A bug that trains wonderfully",
    needs=("transformer.TransformerBlock", "attention.causal_mask"),
    shown=("LeakingDecoder",),
    hints=(
        "Give a decoder the tokens 4 7 1 and then 4 7 2. Its logits at the first two positions must "
        "be the same numbers both times, because neither may know what comes third. LeakingDecoder "
        "says something else at the second position.",
        "Neither shapes nor the loss show the mistake: a model that sees the next token predicts it "
        "very well. What shows it is two inputs that differ in the future only. The lesson trains "
        "such a model, and then lets it write. A leak may also be rare: try every position.",
        "Random tokens (B, T), T as long as the decoder takes. For each position t from 1 on: a copy "
        "in which every token from t on is another one; both through the decoder; the logits before "
        "t, (B, t, V), must agree to a small tolerance, with an assert.",
        "logits = decoder(tokens); for t in range(1, T): changed = tokens.clone(); "
        "changed[:, t:] = (changed[:, t:] + 1) % 11; "
        "torch.testing.assert_close(decoder(changed)[:, :t], logits[:, :t])",
    ),
)


class LeakingDecoder(nn.Module):
    """A small language model: int64 tokens (B, T), T at most 16, to logits (B, T, 11).

    Its loss falls faster than that of any other model of its size. What it writes is nonsense.
    Leave it as it is: it is what your check has to catch.
    """

    def __init__(self, depth: int = 2) -> None:
        super().__init__()
        self.tokens = nn.Embedding(11, 12)
        self.positions = nn.Embedding(16, 12)
        self.stack = Transformer(TransformerBlock(12, heads=3, hidden=20) for _ in range(depth))
        self.logits = nn.Linear(12, 11)

    def visible(self, length: int) -> Tensor:
        """Who may see whom: bool (T, T), True = may be seen."""
        return ~torch.ones(length, length, dtype=torch.bool).triu(diagonal=2)

    def forward(self, tokens: Tensor) -> Tensor:
        """tokens: int64 (B, T), each 0 ... 10. Returns logits (B, T, 11)."""
        length = tokens.shape[1]
        x = self.tokens(tokens) + self.positions(torch.arange(length))
        return self.logits(self.stack(x, mask=self.visible(length)))


def check_no_peeking(decoder: nn.Module) -> None:
    """Raise AssertionError if what the decoder says at a position depends on later tokens.

    decoder: int64 tokens (B, T), each 0 ... 10, T at most 16, to logits (B, T, 11); built and ready.
    Accept every decoder that keeps its eyes off the future, however it is made; reject every one
    that peeks, at whatever position, however far ahead. This check is what is asked for and graded,
    on LeakingDecoder and others; mending a copy of LeakingDecoder is a way to try it.

    >>> check_no_peeking(LeakingDecoder())
    Traceback (most recent call last):
    AssertionError: what is said before position 1 depends on the tokens from there on
    """
    tokens = torch.randint(0, 11, (2, 16))
    with torch.no_grad():
        logits = decoder(tokens)
        for t in range(1, 16):
            changed = tokens.clone()
            changed[:, t:] = (changed[:, t:] + 1) % 11  # another future, the same past
            same = torch.allclose(decoder(changed)[:, :t], logits[:, :t], atol=1e-5)
            assert same, f"what is said before position {t} depends on the tokens from there on"


class Causal(LeakingDecoder):
    """The mended one: the diagonal is 1."""

    def visible(self, length):
        return ~torch.ones(length, length, dtype=torch.bool).triu(1)


class Recurrent(nn.Module):
    """Causal without a mask: a GRU reads from left to right."""

    def __init__(self):
        super().__init__()
        self.tokens, self.read = nn.Embedding(11, 12), nn.GRU(12, 12, batch_first=True)
        self.logits = nn.Linear(12, 11)

    def forward(self, tokens):
        return self.logits(self.read(self.tokens(tokens))[0])


class Alone(Causal):
    """Nobody looks at anybody: no good model, but not one that peeks."""

    def visible(self, length):
        return torch.eye(length, dtype=torch.bool)


class Blindfolded(LeakingDecoder):
    """No mask anywhere: everybody sees everything."""

    def visible(self, length):
        return torch.ones(length, length, dtype=torch.bool)


class FarSighted(LeakingDecoder):
    """Sees the token five places ahead, and none nearer."""

    def visible(self, length):
        ones = torch.ones(length, length, dtype=torch.bool)
        return ones.tril() | (ones.triu(5) & ones.tril(5))


class LateLeak(LeakingDecoder):
    """The mask was made for 12 positions; those behind see everything."""

    def visible(self, length):
        mask = torch.ones(length, length, dtype=torch.bool)
        mask[:12, :12] = mask[:12, :12].tril()
        mask[:12, 12:] = False
        return mask


class SpyingStart(LeakingDecoder):
    """The first position alone sees everything."""

    def visible(self, length):
        mask = torch.ones(length, length, dtype=torch.bool).tril()
        mask[0] = True
        return mask


class TellTale(Causal):
    """The mask is right, but the mean over all positions is taken off at the end."""

    def forward(self, tokens):
        logits = super().forward(tokens)
        return logits - logits.mean(1, keepdim=True)


class SideDoor(Causal):
    """The mask is right, but embeddings are smoothed with their right-hand neighbour."""

    def forward(self, tokens):
        following = torch.cat([tokens[:, 1:], tokens[:, -1:]], 1)
        x = self.tokens(tokens) + 0.1 * self.tokens(following)
        length = tokens.shape[1]
        x = x + self.positions(torch.arange(length))
        return self.logits(self.stack(x, mask=self.visible(length)))


class LastLook(Causal):
    """The last token is whispered to everybody (a padding count does that)."""

    def forward(self, tokens):
        return super().forward(tokens) + 0.1 * (tokens[:, -1:, None] % 5)


_made: dict[tuple[Any, ...], tuple[nn.Module, list[Tensor]]] = {}


def made(decoder_class: type[nn.Module], *options: int) -> nn.Module:
    """A decoder with fixed weights, large enough to speak. It is built once, for that takes time,
    and its weights are set anew each time, in case a learner's test has trained it."""
    known = (decoder_class, *options)
    if known not in _made:
        decoder, generator = decoder_class(*options), torch.Generator().manual_seed(0)
        for parameter in decoder.parameters():
            nn.init.normal_(parameter, std=0.5, generator=generator)
        vars(decoder)["__name__"] = decoder_class.__name__  # for the message
        _made[known] = decoder, [parameter.detach().clone() for parameter in decoder.parameters()]
    decoder, weights = _made[known]
    with torch.no_grad():
        for parameter, weight in zip(decoder.parameters(), weights, strict=True):
            parameter.copy_(weight).requires_grad_()
    return decoder.eval()


def bank() -> Bank:
    wrongs = (
        (LeakingDecoder, "LeakingDecoder: every position sees the next one"),
        (Blindfolded, "a decoder without a mask"),
        (FarSighted, "a decoder that sees the token five places ahead, and none nearer"),
        (LateLeak, "a decoder whose mask ends at position 12"),
        (SpyingStart, "a decoder whose first position sees everything"),
        (TellTale, "a decoder that takes the mean over all positions off its logits"),
        (SideDoor, "a decoder that mixes each embedding with its right-hand neighbour's"),
        (LastLook, "a decoder that tells everybody what the last token is"),
    )
    return Bank(
        rights={
            "everybody sees only himself": made(Alone),
            "LeakingDecoder with the right diagonal": made(Causal),
            "one block": made(Causal, 1),
            "a GRU": made(Recurrent),
        },
        wrongs={"shallow": made(LeakingDecoder, 1)}
        | {kind.__name__: made(kind) for kind, _ in wrongs},
        stories={"shallow": "LeakingDecoder(depth=1): every position sees the next one"}
        | {kind.__name__: story for kind, story in wrongs},
    )


judged_by_bank(exercise, bank)


def before(decoder, tokens, changed, upto):
    """Whether the logits before a position are the same for both."""
    with torch.no_grad():
        one, other = decoder(tokens)[:, :upto], decoder(changed)[:, :upto]
    return torch.allclose(one, other, atol=1e-5)


def some_tokens(length=16):
    return torch.arange(2 * length).view(2, length) * 7 % 11


@exercise.wrong(
    "accepts-everything",
    story="the test accepts every decoder",
    advice="run it on two inputs that differ in later tokens, and assert that earlier logits agree",
)
def accepts_everything(decoder):
    decoder(some_tokens())


@exercise.wrong(
    "shape-only",
    story="the test looks at the shape only, and a cheat has the right shape",
    advice="compare numbers of two runs",
    twin="accepts-everything",
)
def shape_only(decoder):
    assert decoder(some_tokens()).shape == (2, 16, 11)


@exercise.wrong(
    "same-input-twice",
    story="the test gives the same input twice and asserts the same result",
    advice="the second input must have other tokens from some position on",
    twin="accepts-everything",
)
def same_input_twice(decoder):
    tokens = some_tokens()
    assert before(decoder, tokens, tokens.clone(), 16)


@exercise.wrong(
    "rejects-everything",
    story="the test rejects every decoder",
    advice="what stands at and after the changed position may differ: compare what stands before it",
)
def rejects_everything(decoder):
    tokens = some_tokens()
    assert before(decoder, tokens, (tokens + 1) % 11, 16)


@exercise.wrong(
    "changed-position-too",
    story="the test compares the changed position too, which must differ",
    advice="tokens change from t on: compare [:, :t], which leaves t out",
    twin="rejects-everything",
)
def changed_position_too(decoder):
    tokens = some_tokens()
    changed = tokens.clone()
    changed[:, 8:] = (changed[:, 8:] + 1) % 11
    assert before(decoder, tokens, changed, 9)


@exercise.wrong(
    "remembers-a-number",
    story="the test compares with numbers of one decoder, and another has others",
    advice="compare a decoder with itself on two inputs, not with remembered numbers",
    twin="rejects-everything",
)
def remembers_a_number(decoder):
    torch.testing.assert_close(decoder(some_tokens()).sum().item(), 1.2345)


@exercise.wrong(
    "past-changed",
    story="the test changes the past and asserts that what follows stays: that is what reading means",
    advice="change the future and look at what stands before it",
)
def past_changed(decoder):
    tokens = some_tokens()
    changed = tokens.clone()
    changed[:, :4] = (changed[:, :4] + 1) % 11
    with torch.no_grad():
        one, other = decoder(tokens)[:, 4:], decoder(changed)[:, 4:]
    assert torch.allclose(one, other, atol=1e-5)


@exercise.wrong(
    "last-token-only",
    story="the test changes the last token only, so leaks to other places are missed",
    advice="change the tokens from t on, for every t",
)
def last_token_only(decoder):
    tokens = some_tokens()
    changed = tokens.clone()
    changed[:, -1] = (changed[:, -1] + 1) % 11
    assert before(decoder, tokens, changed, 13)


@exercise.wrong(
    "first-position-only",
    story="the test looks at the first position only, and a later one may peek",
    advice="compare every position before the change, for every place of the change",
)
def first_position_only(decoder):
    tokens = some_tokens()
    changed = tokens.clone()
    changed[:, 1:] = (changed[:, 1:] + 1) % 11
    assert before(decoder, tokens, changed, 1)


@exercise.wrong(
    "short-input",
    story="the test's input is short, and a leak may begin later",
    advice="use as many tokens as the decoder takes",
)
def short_input(decoder):
    tokens = some_tokens(3)
    for t in (1, 2):
        changed = tokens.clone()
        changed[:, t:] = (changed[:, t:] + 1) % 11
        assert before(decoder, tokens, changed, t)


@exercise.wrong(
    "one-place",
    story="the test changes the future at one place only, in the middle",
    advice="a leak may begin later or end earlier: let t run over all positions",
)
def one_place(decoder):
    tokens = some_tokens()
    changed = tokens.clone()
    changed[:, 8] = (changed[:, 8] + 1) % 11
    assert before(decoder, tokens, changed, 8)


@exercise.wrong(
    "gap",
    story="the test looks one position too early: the nearest one may peek unseen",
    advice="tokens change from t on: compare [:, :t], not [:, : t - 1]",
)
def gap(decoder):
    tokens = some_tokens()
    for t in range(2, 16):
        changed = tokens.clone()
        changed[:, t:] = (changed[:, t:] + 1) % 11
        assert before(decoder, tokens, changed, t - 1)


@exercise.disguise("gap")
def gap_too(decoder):
    tokens = some_tokens()
    whole = decoder(tokens)
    for t in range(2, 16):
        torch.testing.assert_close(decoder(tokens[:, :t])[:, :-1], whole[:, : t - 1])


@exercise.right("cut off")
def cut_off(decoder):
    tokens = some_tokens()
    whole = decoder(tokens)
    for t in range(1, 16):
        torch.testing.assert_close(decoder(tokens[:, :t]), whole[:, :t])


@exercise.right("one token at a time")
def one_at_a_time(decoder):
    tokens = some_tokens()
    for t in range(15, 0, -1):
        changed = tokens.clone()
        changed[:, t] = 10 - changed[:, t] + (changed[:, t] == 5).long()
        if not before(decoder, tokens, changed, t):
            raise AssertionError(f"token {t} is seen before its time")


@exercise.right("a random future")
def random_future(decoder):
    tokens = torch.randint(0, 11, (64, 16))
    for t in range(1, 16):
        changed = torch.cat([tokens[:, :t], torch.randint(0, 11, (64, 16 - t))], 1)
        assert before(decoder, tokens, changed, t), t
