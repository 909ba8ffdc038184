"""Lesson 01, attention: how one token finds the tokens that it needs.

Question: a sentence is a set of vectors. How can one of them query all others, get the value of the
right one, and learn all of that by gradient descent?

Time: about half a minute on two cores (`--quick`: about 10 s). Figures go to runs/01_attention/
(`--quick`: to runs/01_attention_quick/).
Read beside it: scratchmm/layers/attention.py, then scratchmm/layers/fast_attention.py.
Exercises: attention.attend, attention.causal_mask, attention.padding_mask,
attention.MultiHeadAttention, fast_attention.online_softmax_step, attention.KeyValueCache
(`python -m scratchmm learn check attention.attend`).
Papers: Attention Is All You Need (arXiv 1706.03762), section 3.2; Online normalizer calculation for
softmax (arXiv 1805.02867); FlashAttention (arXiv 2205.14135).
"""

# %% [markdown]
# # Attention
#
# By the end you can say what a query, a key and a value are, why scores are divided by the root of
# the width, what two heads can do that one can't, how a mask hides later tokens, and how a million
# scores can be computed without ever being stored. At the end a single attention layer learns a
# key-value lookup, and you will see its attention weights.

# %%
import math

import matplotlib.pyplot as plt
import torch
import torch.nn.functional as F
from torch import nn

# %%
from scratchmm import plots
from scratchmm.bench.measure import peak_mib
from scratchmm.layers.attention import (
    KeyValueCache,
    MultiHeadAttention,
    attend,
    attention_weights,
    causal_mask,
    padding_mask,
)
from scratchmm.layers.fast_attention import OnlineSoftmax, online_softmax_step
from scratchmm.lesson import LessonParser, report
from scratchmm.training.fit import fit

# %%
parser = LessonParser(__doc__)
options = parser.read("")  # in a notebook, flags go here: "--quick --steps 50"
out = options.folder("01_attention")
torch.manual_seed(options.seed)
torch.set_num_threads(1)  # the models here are so small that a second core only gets in the way


def save(figure, name):
    print("figure:", plots.save(figure, out / name))


# %% [markdown]
# ## One query, five keys
#
# Five things lie on a table. Each has a **key**: the vector that a query is compared with, here two
# numbers, how edible and how sharp it is. Each has a **value**: the vector that is returned, here
# its colour. The **query** is one more vector: an arrow towards "edible".
#
# The dot product of a query and a key is their **score**. Softmax turns the five scores into five
# **weights** that sum to 1. The output is the sum of the values with these weights.
#
# **Guess before you run:** which colour does the query get if its arrow has length 0? And what
# happens as the arrow grows?

# %%
things = ["apple", "pear", "knife", "saw", "stone"]
keys = torch.tensor([[2.0, -0.4], [1.6, 0.3], [-0.2, 2.0], [-0.9, 1.7], [-1.6, -1.2]])
colors = torch.tensor(
    [[0.80, 0.15, 0.15], [0.45, 0.70, 0.20], [0.35, 0.50, 0.75], [0.60, 0.40, 0.20], [0.4] * 3]
)
lengths = [0.0, 1.0, 3.0, 10.0]
queries = torch.tensor([[length, 0.0] for length in lengths])

# %% [markdown]
# `attend` wants a batch and heads in front: (B, H, L, D). Here both are 1. L counts the queries,
# S the keys. Note that D is 2 (numbers in a key) while a value has 3 (red, green, blue).

# %%
scores = queries @ keys.T / math.sqrt(2)  # (L, S): every query with every key
shares = scores.softmax(dim=-1)  # over the keys: each row sums to 1
mix = shares @ colors  # (L, 3)
answer = attend(queries[None, None], keys[None, None], colors[None, None])[0, 0]
torch.testing.assert_close(answer, mix)  # these three lines are what the library does
for length, row in zip(lengths, shares.tolist(), strict=True):
    print(f"arrow {length:4.0f}:", "  ".join(f"{t} {s:.2f}" for t, s in zip(things, row)))

# %%
figure, (left, right) = plt.subplots(1, 2, figsize=(9, 3.4), width_ratios=(1, 1.5), layout="tight")
for name, key, color in zip(things, keys.tolist(), colors.tolist(), strict=True):
    left.annotate("", key, (0, 0), arrowprops={"arrowstyle": "-|>", "color": color, "lw": 2.5})
    left.text(1.22 * key[0], 1.22 * key[1], name, ha="center", va="center")
left.annotate("", (2.9, 0), (0, 0), arrowprops={"arrowstyle": "-|>", "ls": "--"})
left.text(3.0, 0, "query", va="center")
left.set(xlim=(-2.6, 4), ylim=(-2, 2.7), xlabel="edible", ylabel="sharp", title="keys and a query")
start = torch.zeros(len(lengths))
for share, color in zip(shares.T, colors.tolist(), strict=True):
    right.barh(range(len(lengths)), share, left=start, color=color, edgecolor="white")
    start = start + share
right.barh(range(len(lengths)), [0.12] * len(lengths), left=1.06, color=mix.tolist())
right.set_yticks(range(len(lengths)), [f"arrow of length {length:.0f}" for length in lengths])
right.set_xticks([0, 0.5, 1, 1.12], ["0", "0.5", "1", "sum"])
right.invert_yaxis()
right.set_title("the weight of each thing, and the weighted sum of colours")
save(figure, "one_query.png")

# %% [markdown]
# With length 0 all scores are 0, all weights 1/5, and the output is the average of all colours: a
# muddy brown. As the arrow grows the output turns to the apple's red: softmax is a **soft** choice
# of the maximum, and the arrow's length says how soft. Nothing jumps on the way, which is why it
# can be learned by gradient descent. That is all there is to attention: the rest of this lesson
# makes it fast, safe and large. You will write `attend` yourself as soon as two more things are
# explained: why the division, and what a mask does.

# %% [markdown]
# ## Why divide by the root of D?
#
# Above the scores were divided by sqrt(2). A dot product of D random numbers is a sum of D
# terms, each as often positive as negative, so it spreads like sqrt(D).
#
# **Guess before you run:** 64 keys of width 512 and no division. Over how many keys does an average
# query spread its weight?


# %%
def attended_keys(width, scale):
    """How many of 64 keys a random query attends to, and the gradient at the scores."""
    query, key = torch.randn(200, width), torch.randn(64, width)
    scores = (query @ key.T * scale).requires_grad_()  # (200, 64)
    weights = scores.softmax(-1)
    entropy = -(weights * weights.clamp_min(1e-30).log()).sum(-1)
    # What a loss would send back: random values, a random gradient at each number of the output.
    (weights @ torch.randn(64, 8) * torch.randn(200, 8)).sum().backward()
    return entropy.exp().mean().item(), scores.grad.norm(dim=-1).median().item()


widths = [2**n for n in range(11)]
plain = [attended_keys(width, 1.0) for width in widths]
scaled = [attended_keys(width, width**-0.5) for width in widths]
print(f"width 512: {plain[9][0]:.1f} keys without the division, {scaled[9][0]:.1f} with it")

# %%
figure, axes = plt.subplots(1, 2, figsize=(9, 3.2), layout="tight")
for index, (axis, title) in enumerate(
    zip(axes, ("keys attended to, of 64 (exp of the entropy)", "gradient at the scores (median)"))
):
    axis.plot(widths, [row[index] for row in plain], "o-", color=plots.LINES[1], label="q·k")
    label = "q·k / sqrt(D)"
    axis.plot(widths, [row[index] for row in scaled], "o-", color=plots.LINES[0], label=label)
    axis.set(xscale="log", xlabel="width D", title=title)
    axis.set_xticks(widths[::2], [str(width) for width in widths[::2]])
axes[1].set_yscale("log")
axes[0].set_ylim(0, 64)
axes[0].legend(frameon=False)
save(figure, "why_divide.png")

# %% [markdown]
# Without the division a wide query attends to almost one key only, before anything was learned; and
# where the softmax is saturated like that its gradient vanishes: the network could not even learn
# that it attends to the wrong key. At width 64, that of a usual head, there still is a gradient; at
# 512 there is not. With the division, width changes nothing. That is the whole reason for the root.

# %% [markdown]
# ## Order does not matter
#
# **Guess before you run:** we shuffle the keys (and their values along). What happens to the
# outputs? And if we shuffle the queries?

# %%
query, key, value = torch.randn(1, 1, 4, 8), torch.randn(1, 1, 6, 8), torch.randn(1, 1, 6, 5)
order = torch.randperm(6)
shuffled = attend(query, key[:, :, order], value[:, :, order])
torch.testing.assert_close(shuffled, attend(query, key, value))
turned = attend(query.flip(2), key, value)
torch.testing.assert_close(turned, attend(query, key, value).flip(2))
print("keys shuffled: the same outputs; queries shuffled: the same outputs, shuffled")

# %% [markdown]
# A query attends to a **set**. "Dog bites man" and "man bites dog" give it the same output. So far,
# a strength: the cards below are found wherever they lie. For sentences positions must be added to
# the vectors; lesson 02 does that and measures what is lost without.

# %% [markdown]
# ## The causal mask
#
# A language model must predict each word from the words before it. In training the whole
# sentence is the input, so later words must be hidden. A **mask** says which query may attend to
# which key: bool, True = may be attended to. Masked scores become minus infinity *before* the
# softmax, so that the other weights still sum to 1. And a query whose keys are all masked? Its row
# is nothing but minus infinity, and softmax makes 0/0 = nan of it, which would spread through the
# whole network. Such a query gets zeros: its weights are filled with 0 once more after the softmax.
# ## The padding mask
#
# Sentences of a batch have different lengths; the short ones are padded. No query may attend to the
# padding. The two masks are joined by `&`.

# %%
words = ["the", "cat", "sat", "down", "(pad)", "(pad)"]
real = torch.tensor([[True, True, True, True, False, False]])
x = torch.randn(1, 1, 6, 16)
query, key = x @ torch.randn(16, 16) / 4, x @ torch.randn(16, 16) / 4  # queries and keys of x
masks = {
    "no mask": torch.ones(1, 1, 6, 6, dtype=torch.bool),
    "padding_mask": padding_mask(real),
    "causal_mask": causal_mask(6),
    "both": padding_mask(real) & causal_mask(6),
}
maps = {name: attention_weights(query, key, mask)[0, 0] for name, mask in masks.items()}

# %%
figure, axes = plt.subplots(1, 4, figsize=(11, 3.4), layout="tight", sharey=True)
for axis, (name, weights) in zip(axes, maps.items(), strict=True):
    axis.imshow(weights.masked_fill(weights == 0, math.nan), vmin=0, vmax=1, cmap="Blues")
    for i, j in (weights == 0).nonzero().tolist():
        axis.text(j, i, "×", ha="center", va="center", color=plots.QUIET)
    axis.set_xticks(range(6), words, rotation=60)
    axis.set_yticks(range(6), words)
    axis.set(title=name, xlabel="key")
axes[0].set_ylabel("query")
save(figure, "masks.png")

# %% [markdown]
# Rows are queries, columns are keys; a cross is a weight of exactly 0; darker is more. Under the
# causal mask the first word attends only to itself, with weight 1.
#
# **Guess before you run:** we replace the last real word by another. Which outputs change without
# the causal mask, and which with it?

# %%
other = x.clone()
other[:, :, 3] = torch.randn(16)
for name in ("padding_mask", "both"):
    moved = (attend(x, x, x, masks[name]) - attend(other, other, other, masks[name])).abs()
    changed = [word for word, size in zip(words, moved[0, 0].amax(-1)) if size > 0]
    print(f"{name:13s} changed: {', '.join(changed)}")

# %% [markdown]
# With the causal mask nothing before the changed word moved. (The outputs at padded positions are
# never used.)
#
# Your turn: `learn check attention.attend`, `learn check attention.causal_mask`,
# `learn check attention.padding_mask`.

# %% [markdown]
# ## Learning a key-value lookup
#
# Enough by hand. We lay out eight cards, each with a letter and a digit, and ask: what is the
# digit of the letter Q? Each deck is new, so nothing can be memorised: the layer must learn *how to
# find*. The query is computed from the letter asked for, keys and values from the cards.

# %%
LETTERS, DIGITS, CARDS, WIDTH = 26, 10, 8, 48


def deal(step, count=256, cards=CARDS, asked=1):
    """Decks of one step: letters and digits (B, S), letters asked for and their digits (B, Q)."""
    generator = torch.Generator().manual_seed(options.seed * 1_000_003 + step)
    letters = torch.rand(count, LETTERS, generator=generator).argsort(1)[:, :cards]
    digits = torch.randint(DIGITS, (count, cards), generator=generator)
    picked = torch.rand(count, cards, generator=generator).argsort(1)[:, :asked]
    return letters, digits, letters.gather(1, picked), digits.gather(1, picked)


# %%
class CardReader(nn.Module):
    """One attention layer between a question and a deck, and nothing else."""

    def __init__(self, heads=1, asked=1):
        super().__init__()
        self.letters, self.digits = nn.Embedding(LETTERS, WIDTH), nn.Embedding(DIGITS, WIDTH)
        self.turns = nn.Parameter(torch.randn(asked, WIDTH))  # first letter asked for, second, ...
        self.attention = MultiHeadAttention(WIDTH, heads)
        self.answers = nn.ModuleList(nn.Linear(WIDTH, DIGITS) for _ in range(asked))

    def forward(self, letters, digits, question):
        cards = self.letters(letters) + self.digits(digits)  # (B, S, D)
        query = (self.letters(question) + self.turns).relu().sum(1, keepdim=True)  # (B, 1, D)
        found, weights = self.attention(query, context=cards, return_weights=True)
        logits = [answer(found[:, 0]) for answer in self.answers]
        return torch.stack(logits, 1), weights  # (B, Q, 10), (B, H, 1, S)


# %%
def loss(model, deck):
    logits, _ = model(*deck[:3])
    return F.cross_entropy(logits.flatten(0, 1), deck[3].flatten())


@torch.no_grad()
def accuracy(model, cards=CARDS, asked=1):
    """The share of fresh decks in which every digit is predicted rightly."""
    deck = deal(999_983, count=4000, cards=cards, asked=asked)
    logits, _ = model(*deck[:3])
    return (logits.argmax(-1) == deck[3]).all(1).double().mean().item()


# %% [markdown]
# **Guess before you run:** how good is it before training? And after 400 steps, on eight cards? And
# on decks of 26 cards, which training never had?

# %%
reader = CardReader()
steps = options.training_steps(400, quick=150)
settings = {"learning_rate": 5e-3, "device": options.device}
before = accuracy(reader)
deck = [part[:1] for part in deal(999_979, count=1)]
questions = deck[0].T  # the same deck, each of its letters asked for in turn
repeated = [part.expand(CARDS, CARDS) for part in deck[:2]]
with torch.no_grad():
    untrained = reader(*repeated, questions)[1][:, 0, 0]
curve = fit(reader, lambda step: deal(step), loss, steps=steps, progress=True, **settings)
reader.cpu()  # all that follows is computed there
recall, longer = accuracy(reader), accuracy(reader, cards=LETTERS)
print(f"fresh decks of 8 cards: {before:.3f} before, {recall:.4f} after; of 26 cards: {longer:.4f}")

# %%
with torch.no_grad():
    trained = reader(*repeated, questions)[1][:, 0, 0]
cards = [f"{chr(65 + a)}{b}" for a, b in zip(deck[0][0].tolist(), deck[1][0].tolist())]
figure, axes = plt.subplots(1, 3, figsize=(11, 3.6), layout="tight", width_ratios=(1, 1, 1.2))
for axis, weights, title in zip(axes, (untrained, trained), ("before", "after training")):
    axis.imshow(weights, vmin=0, vmax=1, cmap="Blues")
    axis.set_xticks(range(CARDS), cards)
    axis.set_yticks(range(CARDS), [f"{card[0]}?" for card in cards])
    axis.set(title=title, xlabel="card (key)", ylabel="letter asked for (query)")
axes[2].plot([row["loss"] for row in curve], color=plots.LINES[0])
axes[2].axhline(math.log(10), color=plots.QUIET, ls="--")
axes[2].text(steps, math.log(10), "guessing: log 10", ha="right", va="bottom", color=plots.QUIET)
axes[2].set(title="loss", xlabel="step", ylim=(0, None))
save(figure, "cards.png")

# %% [markdown]
# Nothing in the loss says that letters are keys and digits are values. The layer learned key
# vectors that hold the letter, values that hold the digit, and queries long enough to choose. And
# because it attends to a set, a deck three times as long is no harder.

# %%
fresh = deal(999_961, count=2000)
with torch.no_grad():
    weights = reader(*fresh[:3])[1][:, 0, 0]  # (B, S)
asked_card = (fresh[0] == fresh[2]).double()
on_card = (weights * asked_card).sum(1).mean().item()
print(f"attention weight on the card asked for: {on_card:.3f}")

# %% [markdown]
# ## Many heads
#
# One softmax gives one weighted sum. Now we ask for **two** letters at once and want both digits,
# the first and the second, from a single query.
#
# **Guess before you run:** one head can attend to both cards, half and half. Is that enough?

# %%
results = {}
for heads in (1, 2, 4):
    torch.manual_seed(options.seed)
    pair_reader = CardReader(heads, asked=2)
    steps = options.other_steps(1000, quick=200)
    fit(pair_reader, lambda step: deal(step, asked=2), loss, steps=steps, **settings)
    pair_reader.cpu()
    count = sum(parameter.numel() for parameter in pair_reader.parameters())
    results[f"heads: {heads}"] = accuracy(pair_reader, asked=2)
    print(f"heads: {heads}, parameters: {count:,}, both right: {results[f'heads: {heads}']:.3f}")
path = plots.bars(results, out / "heads.png", heading="two letters at once: both digits right")
print("figure:", path)

# %% [markdown]
# One head finds both cards, and returns one mean of two digits: 3 and 7, but which came first? It
# is right where both are the same, which is one deck in ten. With two heads each has a slice of the
# width, scores of its own and a weighted sum of its own. The number of parameters is the same:
# heads cut the same vectors into more, thinner slices. What they cost is memory: the plain formula
# keeps one matrix of weights (L, S) for each head.

# %% [markdown]
# ## Decoding with a cache
#
# A model that writes text word by word calls attention again for every new word. The causal mask
# saves it work: earlier words never attend to later ones, so their keys and values stay what they
# are. Keep them: that is the **cache**.
#
# **Guess before you run:** 100 words, without a cache. How many keys are computed in all?

# %%
layer = MultiHeadAttention(width=32, heads=4)
sentence = torch.randn(1, 100, 32)
computed = 0


def count_keys(module, inputs, output):
    global computed
    computed += output.shape[1]


layer.key.register_forward_hook(count_keys)
with torch.no_grad():
    whole = layer(sentence, mask=causal_mask(100))

# %%
work: dict[str, list[int]] = {"without": [], "with a cache": []}
with torch.no_grad():
    computed, cache = 0, KeyValueCache()
    for t in range(100):
        word = layer(sentence[:, t : t + 1], mask=causal_mask(1, past=t), cache=cache)
        torch.testing.assert_close(word[:, 0], whole[:, t])
        work["with a cache"].append(computed)
    computed = 0
    for t in range(100):
        word = layer(sentence[:, : t + 1], mask=causal_mask(t + 1))[:, -1:]
        work["without"].append(computed)
print({name: counts[-1] for name, counts in work.items()}, "keys, and the same numbers")

# %%
figure, axis = plt.subplots(figsize=(5.2, 3), layout="tight")
for (name, counts), color in zip(work.items(), plots.LINES[1::-1], strict=True):
    axis.plot(range(1, 101), counts, color=color)
    axis.text(100, counts[-1], f" {name}: {counts[-1]:,}", color=color, va="center")
axis.set(xlabel="words written", ylabel="keys computed", xlim=(0, 150))
axis.set_xticks([0, 50, 100])
save(figure, "cache.png")

# %% [markdown]
# Your turn: `learn check attention.KeyValueCache`, and now that you know heads, masks and the
# cache, `learn check attention.MultiHeadAttention`.

# %% [markdown]
# ## Attention in tiles
#
# The scores are an L x S matrix. For 8,192 words and 12 heads these are 800 million numbers, and
# each is needed once. Can we do without storing them? Softmax seems to need the whole row: its sum
# and, so that exp does not overflow, its maximum.
#
# It does not. Go through the keys tile by tile, and keep three things per query: the largest score
# so far, the sum of exp(score - maximum), and that same sum with the values. When a larger maximum
# turns up, multiply what you have by exp(old - new). `OnlineSoftmax` holds the three: `maximum`,
# `total` (the sum of exp) and `output` (that sum with the values). Before the first tile the
# maximum is minus infinity and both sums are 0; after the last, output / total is the result.

# %%
query, key, value = torch.randn(1, 1, 1, 8), 2 * torch.randn(1, 1, 12, 8), torch.randn(1, 1, 12, 1)
exact = attend(query, key, value).item()
zero = torch.zeros(1, 1, 1, 1)  # one query, and values of width 1
state = OnlineSoftmax(maximum=zero - math.inf, total=zero, output=zero)
for start in range(0, 12, 4):
    tile = slice(start, start + 4)
    scores = query @ key[:, :, tile].mT / math.sqrt(8)
    state = online_softmax_step(state, scores, value[:, :, tile])
    so_far = (state.output / state.total).item()
    print(f"after {start + 4:2d} keys: maximum {state.maximum.item():.3f}, sum of exp "
          f"{state.total.item():.3f}, output so far {so_far:+.4f}")  # fmt: skip
print(f"all at once:{exact:+.4f}".rjust(60))
torch.testing.assert_close(so_far, exact, rtol=1e-5, atol=1e-6)

# %% [markdown]
# The same trick in square tiles is FlashAttention (this library's are 512 x 512; a GPU's are as
# large as its on-chip memory). Now measure it: the most memory held at once, forward and backward,
# plain against tiled.
#
# **Guess before you run:** twice the length: how much more memory for the plain formula? For tiles?


# %%
def weigh(length, backend):
    """Peak memory in MiB beyond the inputs, for one head of width 64."""
    parts = [torch.randn(1, 1, length, 64, requires_grad=True) for _ in range(3)]
    return peak_mib(lambda: attend(*parts, backend=backend).sum().backward(), "cpu")


lengths = [512, 1024, 2048] if options.quick else [512, 1024, 2048, 4096, 8192]
memory = {name: [weigh(n, name) for n in lengths] for name in ("plain", "tiled")}
for name, sizes in memory.items():
    print(f"{name}: " + ", ".join(f"{n}: {size:.0f} MiB" for n, size in zip(lengths, sizes)))

# %%
figure, (left, right) = plt.subplots(1, 2, figsize=(9, 3.6), layout="tight")
for (name, sizes), color in zip(memory.items(), plots.LINES[1::-1], strict=True):
    left.plot(lengths, sizes, "o-", color=color)
    left.text(lengths[-1] * 1.1, sizes[-1], name, color=color, va="center")
left.set(xscale="log", yscale="log", xlabel="length", title="peak memory in MiB")
left.set_xticks(lengths, [f"{length:,}" for length in lengths])
left.set_xlim(lengths[0] * 0.8, lengths[-1] * 2.2)
left.minorticks_off()
side = 8  # tiles along each side, as for length 4,096
for row in range(side):
    for column in range(side):
        hidden, now = column > row, (row, column) == (5, 3)
        color = plots.LINES[1] if now else "#eeeeee" if hidden else "#c9d8e6"
        right.add_patch(plt.Rectangle((column, row), 0.94, 0.94, color=color, lw=0))
        if hidden:
            right.text(column + 0.47, row + 0.47, "×", ha="center", va="center", color=plots.QUIET)
right.set(xlim=(0, side), ylim=(side, 0), aspect="equal", xlabel="keys", ylabel="queries")
right.set(xticks=[], yticks=[], title="one tile is held at a time; under a causal\n"
          "mask those with a cross are not even computed")  # fmt: skip
right.spines[:].set_visible(False)
save(figure, "tiles.png")

# %% [markdown]
# Plain: four times the memory for twice the length. Tiles: a fixed amount for the tile that is
# held, and a little that grows with the length. The backward pass needs the weights once more:
# plain keeps them, tiled computes them again, tile by tile. Computing more to store less is a good
# trade, because on a GPU moving numbers costs more than multiplying them.
#
# The four backends of `attend` must agree, masks and gradients included. Do they?

# %%
parts = [torch.randn(2, 3, length, 16, dtype=torch.float64) for length in (700, 600, 600)]
parts = [part.requires_grad_() for part in parts]
mask = torch.rand(2, 1, 700, 600) < 0.5
mask[:, :, 5] = False  # one query whose keys are all masked: it gets zeros
above = torch.randn(2, 3, 700, 16, dtype=torch.float64)
found = {}
for name in ("plain", "tiled", "torch") if options.quick else ("plain", "tiled", "fused", "torch"):
    answer = attend(*parts, mask, backend=name)
    found[name] = [answer, *torch.autograd.grad(answer, parts, above)]
for name, tensors in found.items():
    gap = max((a - b).abs().max().item() for a, b in zip(tensors, found["plain"]))
    print(f"{name:6s} differs from plain by at most {gap:.1e}")
    assert gap < 1e-10, f"the backend {name} gives other numbers"

# %% [markdown]
# Your turn: `learn check fast_attention.online_softmax_step`.

# %% [markdown]
# ## In the field's words
#
# Scaled dot-product attention of **query, key and value**; the weights are **attention weights**,
# the scores before the softmax are **attention logits**. Queries from one sequence and keys from
# another: **cross-attention**; all from one: **self-attention**. The cards are a **key-value
# lookup** (associative recall). A causal model is **autoregressive**, and the cache is the **KV
# cache**. Time and memory of the plain formula grow as **O(L^2 D)** and O(L^2); tiles need O(L)
# memory and the same O(L^2 D) time; with their running maximum and sum they are an **online
# softmax**. The masks are the **causal mask** and the **padding mask**.
#
# **Left out here:** **Grouped-query attention** (several heads of queries share one of keys and
# values) and its extreme, multi-query attention; **rotary positions** (queries and keys are rotated
# by an angle that depends on their position); dropout on the weights, sparse and linear attention.
# The tiles here save memory, not time: on a CPU they take about twice as long as the plain formula
# (`docs/benchmarks.md`); FlashAttention is fast because its tiles stay in a GPU's on-chip memory.
#
# All terms, with their files: [glossary](glossary.md). Used here, explained elsewhere:
# [token](glossary.md#t) (lesson 02).

# %% [markdown]
# ## Three questions
#
# For pen and paper; the answers are in [answers.md](answers.md).
#
# 1. The scores are multiplied by 10 before the softmax. What happens to the entropy of the
#    weights, and to the gradient that reaches the queries?
#
# 2. A layer has width 512 and 8 heads. How many parameters has it with 16 heads? What else changes
#    with the number of heads?
#
# 3. Somebody masks padding by adding -10,000 to the scores instead of minus infinity. In which two
#    cases does that go wrong?

# %% [markdown]
# ## What to take home
#
# - Query and key give the score; softmax over the keys gives the weights; the output is the
#   weighted sum of the values.
# - Divide by the root of the width, or softmax saturates before it has learned anything.
# - Attention is over a set. Masks say which key a query may attend to; positions (lesson 02) say
#   where a token stands.
# - One head gives one weighted sum. More heads cost no parameters, but each keeps weights (L, S) of
#   its own.
# - Keys and values of the past never change: cache them. Scores need not be stored: tile them.
#
# Next: `tutorials/02_transformer.py` puts a network around this layer and lets it generate text.

# %%
report("digits found in fresh decks", recall, 0.99, unjudged=options.unjudged)
