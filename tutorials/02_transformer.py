"""Lesson 02, transformer: a stack of blocks learns to add numbers from examples.

Question: attention only averages what is there. What has to stand around it so that a network can
compute more than means, so that it can be deep, and so that it still trains?

Time: under two minutes on two cores (`--quick`: about 10 s). Figures: runs/02_transformer/
(`--quick`: runs/02_transformer_quick/).
Read beside it: scratchmm/layers/transformer.py, scratchmm/layers/embeddings.py,
scratchmm/training/optimizer.py, then scratchmm/training/fit.py.
Exercises: transformer.FeedForward, transformer.TransformerBlock, sinusoids.sinusoidal_positions,
bug.leaking_mask, optimizer.decay_groups, optimizer.warmup_cosine
(`python -m scratchmm learn check transformer.FeedForward`).
Papers: Attention Is All You Need (arXiv 1706.03762); On Layer Normalization in the Transformer
Architecture (arXiv 2002.04745); Attention is not all you need (arXiv 2103.03404), on positions
that become the same; Decoupled Weight Decay Regularization (arXiv 1711.05101).
"""

# %% [markdown]
# # The transformer
#
# By the end you can draw a transformer block, say what each of its parts is worth, and why the norm
# stands where it stands. You will have trained a small language model that completes 385 + 947 with
# 1332, though it was given examples and no rule, and met a bug that makes training go wonderfully.

# %%

import matplotlib.pyplot as plt
import torch
import torch.nn.functional as F
from torch import nn

# %%
from scratchmm import plots
from scratchmm.layers.attention import causal_mask
from scratchmm.layers.embeddings import sinusoidal_positions
from scratchmm.layers.transformer import (
    FeedForward,
    PostNormBlock,
    Transformer,
    TransformerBlock,
    hidden_states,
)
from scratchmm.lesson import LessonParser, report
from scratchmm.training.fit import fit
from scratchmm.training.optimizer import decay_groups, warmup_cosine

# %%
parser = LessonParser(__doc__)
options = parser.read("")  # in a notebook, flags go here: "--quick --steps 50"
out = options.folder("02_transformer")
torch.manual_seed(options.seed)
torch.set_num_threads(1)  # the models here are so small that a second core only gets in the way


def save(figure, name):
    print("figure:", plots.save(figure, out / name))


# %% [markdown]
# ## The feed-forward network
#
# Attention takes means of values. A mean of two vectors is as far as it gets: it can fetch a 7 and
# an 8 and return their average, but that 7 + 8 leaves 5 and carries 1 is no mean. So after each
# attention comes a small network that is applied to every position alone: a linear layer to a
# larger width, a nonlinearity, a linear layer back.
#
# **Guess before you run:** what can the two layers compute if the nonlinearity between them is left
# out?

# %%
network = FeedForward(width=8, hidden=32)
x = torch.randn(2, 5, 8)
flat = FeedForward(8, 32, activation=lambda x: x)  # no nonlinearity
matrix = flat.contract.weight @ flat.expand.weight
offset = flat.contract(flat.expand.bias)
torch.testing.assert_close(flat(x), x @ matrix.T + offset)
print("without the nonlinearity, both layers together are one matrix of 8 x 8")

# %%
other = x.clone()
other[:, 2] = torch.randn(2, 8)
moved = (network(other) - network(x)).abs().amax((0, 2)) > 0
print("position 2 was changed; the output moves at positions", moved.nonzero().flatten().tolist())
block = TransformerBlock(width=64, heads=4, hidden=256)
parts = {name: sum(p.numel() for p in part.parameters()) for name, part in block.named_children()}
print("parameters of a block:", parts)

# %% [markdown]
# Two thirds of a transformer's parameters are in these networks. Attention moves information
# between positions; these networks transform it at each position.
#
# Your turn: `learn check transformer.FeedForward`.

# %% [markdown]
# ## The block: add, don't replace
#
# A block is four lines: normalise, attend, add; normalise, feed forward, add. `x` runs through the
# whole stack, and every part only adds to it: this is the residual stream. So the last vector is a
# sum: the embedding, plus the output of each part.

# %%
calm = block.attention_norm(x := torch.randn(2, 5, 64))
attended = x + block.attention(calm)
transformed = attended + block.feed_forward(block.feed_forward_norm(attended))
torch.testing.assert_close(block(x), transformed)

# %% [markdown]
# What if a part replaced the stream instead? Attention averages, and an average of averages is more
# of the same.
#
# **Guess before you run:** 12 untrained blocks, 10 different tokens. How similar are the ten
# vectors to each other at the end: with sums, and where each part replaces?


# %%
class Replaces(TransformerBlock):
    """No sums: the output of a part replaces the stream."""

    def forward(self, x, mask=None, cache=None):
        x = self.attention(self.attention_norm(x), mask=mask, cache=cache)
        return self.feed_forward(self.feed_forward_norm(x))


@torch.no_grad()
def similarity(block_class, depth=12, width=64):
    """The mean cosine between the vectors of different positions, block after block."""
    torch.manual_seed(options.seed)
    stack = Transformer(block_class(width, 4, 4 * width) for _ in range(depth))
    states = F.normalize(torch.stack(hidden_states(stack, torch.randn(20, 10, width))), dim=-1)
    cosines = states @ states.mT  # (depth + 1, 20, 10, 10)
    return ((cosines.sum((-1, -2)) - 10) / 90).mean(1).tolist()


# %%
kept, lost = similarity(TransformerBlock), similarity(Replaces)
figure, axis = plt.subplots(figsize=(5.4, 3), layout="tight")
for values, name, color in ((lost, "replace", 1), (kept, "add", 0)):
    axis.plot(values, "o-", color=plots.LINES[color])
    axis.text(12.4, values[-1], name, color=plots.LINES[color], va="center")
axis.set(xlabel="blocks passed", ylabel="similarity of positions (cosine)", ylim=(-0.05, 1.05))
axis.set(xlim=(-0.3, 14), title="where parts replace the stream, all positions become one")
axis.set_xticks(range(0, 13, 3))
save(figure, "add_or_replace.png")

# %% [markdown]
# After two blocks the vectors no longer tell which word stood where. The sum also carries the
# gradient back: its derivative is 1, whatever the parts do.
#
# Your turn: `learn check transformer.TransformerBlock`.

# %% [markdown]
# ## Positions
#
# Lesson 01: attention is over a set. Something must tell the model where each token stands. The
# first transformer added a fixed vector for each position: sines and cosines of the position at
# many frequencies, like the hands of many clocks, from one that turns a radian a step to one that
# hardly moves.
#
# **Guess before you run:** how similar (dot product) are two positions 10 apart: at the start of
# the text, and at its end?

# %%
table = sinusoidal_positions(64, 32)
figure, (left, right) = plt.subplots(1, 2, figsize=(10, 3.4), layout="tight")
shown = left.imshow(table.T, cmap="RdBu", vmin=-1, vmax=1, aspect="auto")
left.set(xlabel="position", ylabel="dimension", title="sine and cosine in turn, fast ones on top")
figure.colorbar(shown, ax=left).outline.set_visible(False)
similar = table @ table.T / 16
for position, color in zip((8, 32, 56), plots.LINES):
    right.plot(similar[position], color=color)
    right.annotate(f"{position}", (position, 1.0), ha="center", va="bottom", color=color)
right.set(xlabel="position", title="dot product with positions 8, 32 and 56", ylim=(0, 1.1))
save(figure, "positions.png")

# %% [markdown]
# The same hill wherever it stands: distance is all that counts. Many models today learn a vector
# for each position instead (CLIP and ViT do, and so does ours below). What is lost without any?

# %%
mask = causal_mask(10)
tokens = torch.randn(1, 10, 64)
shuffled = tokens.clone()
shuffled[:, :9] = tokens[:, torch.randperm(9)]
gap = (block(tokens, mask=mask)[:, -1] - block(shuffled, mask=mask)[:, -1]).abs().max()
print(f"the nine tokens before the last one were shuffled; its output moved by {gap:.0e}")

# %% [markdown]
# Nothing (but rounding): to one block "12+34" and "43+21" are the same. (Several *causal* blocks
# can recover a little, because the first token attends to one token and the last to all.)
#
# Your turn: `learn check sinusoids.sinusoidal_positions`.

# %% [markdown]
# ## A language model that adds
#
# Now the whole: embed tokens, add positions, run the blocks under a causal mask, and compute a
# logit for each possible next token. Its text are sums, written as we work them out on paper: ones
# first. 385 + 947 = 1332 becomes `583+749=2331`.


# %%
class Writer(nn.Module):
    """A causal language model over the twelve tokens 0 ... 9 + =."""

    def __init__(self, block=TransformerBlock, depth=3, width=64):
        super().__init__()
        self.tokens = nn.Embedding(12, width)
        self.positions = nn.Parameter(0.02 * torch.randn(12, width))
        nn.init.normal_(self.tokens.weight, std=0.02)  # as large as positions: neither dominates
        self.stack = Transformer(block(width, 4, 4 * width) for _ in range(depth))
        self.norm, self.logits = nn.LayerNorm(width), nn.Linear(width, 12)

    def forward(self, tokens, caches=None):
        past = len(caches[0]) if caches else 0
        length = tokens.shape[1]
        x = self.tokens(tokens) + self.positions[past : past + length]  # (B, T, D)
        x = self.stack(x, mask=causal_mask(length, past), caches=caches)  # (B, T, D)
        return self.logits(self.norm(x))  # (B, T, 12)


# %% [markdown]
# There are a million pairs of three-digit numbers. One in twenty is held out for the exam: they are
# never in training.

# %%
PLUS, EQUALS, DIGITS = 10, 11, 3
QUESTION = 2 * DIGITS + 2  # tokens up to and with the =


def spell(a, b):
    """Sums as tokens (B, 12): ones first, `583+749=2331`."""
    places = 10 ** torch.arange(DIGITS + 1)
    one, two, total = (n[:, None] // places % 10 for n in (a, b, a + b))
    plus, equals = (torch.full((len(a), 1), sign) for sign in (PLUS, EQUALS))
    return torch.cat([one[:, :DIGITS], plus, two[:, :DIGITS], equals, total], 1)


def sums(step, count=128, exam=False):
    """The sums of one training step, or of the exam (held out)."""
    generator = torch.Generator().manual_seed(options.seed * 1_000_003 + step)
    a, b = torch.randint(10**DIGITS, (2, count * (25 if exam else 2)), generator=generator)
    kept_back = (a + 3 * b) % 20 == 0
    chosen = kept_back if exam else ~kept_back
    return spell(a[chosen][:count], b[chosen][:count])


# %% [markdown]
# The loss: the cross-entropy of the next token, at every position from the `=` on. The input is the
# correct prefix each time ("teacher forcing"), so all positions are trained at once.
#
# **Guess before you run:** which of the four digits of the answer will it learn first? Which last?


# %%
def loss(model, batch):
    logits = model(batch[:, :-1])[:, QUESTION - 1 :]  # at = and at the digits after it
    target = batch[:, QUESTION:]
    history.append((logits.argmax(-1) == target).double().mean(0).tolist())  # right, for each digit
    return F.cross_entropy(logits.flatten(0, 1), target.flatten())


history: list[list[float]] = []
steps = options.training_steps(600, quick=25)
torch.manual_seed(options.seed)
model = Writer()
print(f"{sum(p.numel() for p in model.parameters()):,} parameters")
settings = {"learning_rate": 3e-3, "weight_decay": 0.01, "device": options.device}
curve = fit(model, sums, loss, steps=steps, progress=True, **settings)
model.cpu()  # all that follows is computed there

# %%
figure, (left, right) = plt.subplots(1, 2, figsize=(10, 3.3), layout="tight")
left.plot([row["loss"] for row in curve], color=plots.LINES[0])
left.set(xlabel="step", ylabel="loss", ylim=(0, None), title="the loss goes down in stairs ...")
for digit, (name, color) in enumerate(zip(("ones", "tens", "hundreds", "thousands"), plots.LINES)):
    rows = torch.tensor(history)[:, digit]
    smooth = rows.unfold(0, min(10, steps), 1).mean(-1)
    right.plot(range(len(rows) - len(smooth), len(rows)), smooth, color=color, label=name)
right.set(xlabel="step", ylabel="right", ylim=(0, 1.02), title="... one for each digit it learns")
right.legend(frameon=False)
save(figure, "learning_to_add.png")

# %% [markdown]
# The thousands come first, because they are only 0 or 1. Then for a long time it predicts only that
# digits come after the =, until the ones click; tens and hundreds, which need a carry, follow. A
# plateau is not the end of learning: something is being put together that does not lower the loss
# yet.
# ## Decoding
#
# In training the prefix was always correct. In the exam the model must continue from its own
# predictions. The caches keep the keys and values of earlier tokens: each token passes through the
# blocks once.


# %%
@torch.no_grad()
def write(model, tokens, count=DIGITS + 1):
    """Append the most likely token, `count` times."""
    caches, new = model.stack.new_caches(), tokens
    for _ in range(count):
        new = model(new, caches)[:, -1].argmax(-1, keepdim=True)
        tokens = torch.cat([tokens, new], 1)
    return tokens


def score(model):
    """The share of exam sums that it completes without any mistake."""
    exam = sums(999_983, count=2000, exam=True)
    return (write(model.eval(), exam[:, :QUESTION]) == exam).all(1).double().mean().item()


# %%
exam = sums(999_983, count=2000, exam=True)
for line in write(model, exam[:6, :QUESTION]).tolist():
    text = "".join("0123456789+="[token] for token in line)
    a, b, c = (int(n[::-1]) for n in (text[:3], text[4:7], text[8:]))
    print(f"{text}   that is {a} + {b} = {c}: {'right' if a + b == c else 'wrong'}")
right_sums = score(model)
print(f"sums never seen in training, written without a mistake: {right_sums:.4f}")

# %% [markdown]
# **Guess before you run:** does the cache change the numbers? Feed it whole, token by token, or
# in odd pieces.

# %%
with torch.no_grad():
    whole = model(exam[:50])
    for pieces in ([1] * 12, [8, 1, 1, 1, 1], [5, 7]):
        caches = model.stack.new_caches()
        logits = torch.cat([model(piece, caches) for piece in exam[:50].split(pieces, 1)], 1)
        torch.testing.assert_close(logits, whole, rtol=1e-4, atol=1e-4)
print("whole, one by one, in pieces: the same numbers")

# %% [markdown]
# ## The attention weights
#
# **Guess before you run:** to predict the tens, which tokens does it need?

# %%
with torch.no_grad():
    embedded = model.tokens(exam[:200, :-1]) + model.positions[:-1]
    states = hidden_states(model.stack, embedded, mask=causal_mask(11))
    maps = []
    for state, block in zip(states, model.stack.blocks):
        calm = block.attention_norm(state)
        _, weights = block.attention(calm, mask=causal_mask(11), return_weights=True)
        maps.append(weights.mean(0)[:, QUESTION - 1 :])  # (H, 4, 11), mean over 200 sums

# %%
figure, axes = plt.subplots(3, 4, figsize=(11, 5.6), layout="tight", sharex=True, sharey=True)
names = ["a ones", "a tens", "a hundr.", "+", "b ones", "b tens", "b hundr.", "="]
names += ["c ones", "c tens", "c hundr."]
for row, weights in zip(axes, maps):
    for axis, head in zip(row, weights):
        axis.imshow(head, vmin=0, vmax=1, cmap="Blues", aspect="auto")
        axis.set_xticks(range(11), names, rotation=90)
        axis.set_yticks(range(4), ["ones", "tens", "hundreds", "thousands"])
for number, axis in enumerate(axes[:, 0], start=1):
    axis.set_ylabel(f"block {number}\npredicts")
for number, axis in enumerate(axes[0], start=1):
    axis.set_title(f"head {number}")
save(figure, "attention_weights.png")

# %% [markdown]
# In the first block there are heads that attend to exactly two tokens: the digits of the place that
# is being predicted. Others attend to the place before it, from which a carry may come. Nobody
# wrote that rule down: it was the shortest way to a smaller loss.

# %% [markdown]
# ## A bug that trains wonderfully
#
# One character in the mask: `tril(1)` instead of `tril()`. Every position attends to one token too
# many: the very one that it should predict. The shapes are right, no error is raised.
#
# **Guess before you run:** what happens to the loss? And to its outputs in the exam?


# %%
class Leaking(TransformerBlock):
    """A block whose mask leaks: each token attends to the next one too."""

    def forward(self, x, mask=None, cache=None):
        future = torch.ones_like(mask).tril(mask.shape[1] - mask.shape[0] + 1)
        return super().forward(x, mask=mask | future, cache=cache)


torch.manual_seed(options.seed)
cheat = Writer(Leaking)
cheat_steps = options.other_steps(150, quick=15)
leaked = fit(cheat, sums, loss, steps=cheat_steps, **settings)
cheat.cpu()
cheat_score = score(cheat)
print(
    f"loss {leaked[-1]['loss']:.4f} after {cheat_steps} steps; written rightly: {cheat_score:.3f}"
)

# %%
figure, (left, right) = plt.subplots(1, 2, figsize=(9, 3), layout="tight", width_ratios=(1.5, 1))
for rows, name, color in ((curve, "causal", 0), (leaked, "leaking", 1)):
    left.plot(
        [row["loss"] for row in rows][: 2 * cheat_steps], color=plots.LINES[color], label=name
    )
left.set(xlabel="step", title="loss in training", ylim=(0, None))
left.legend(frameon=False)
bars = right.bar(["causal", "leaking"], [right_sums, cheat_score], color=plots.LINES[:2])
right.bar_label(bars, fmt="%.2f")
right.set(ylim=(0, 1.12), title="exam sums written rightly")
save(figure, "leaking_mask.png")

# %% [markdown]
# The best loss you ever saw, and it can't write a single sum: in the exam there is no next token to
# copy from. Neither the loss nor a validation loss shows it. What shows it is a test: change later
# tokens, and no output before them may move.
#
# Your turn: `learn check bug.leaking_mask`.

# %% [markdown]
# ## Norm before or after?
#
# The first transformer normalised *after* each sum: norm(x + part(x)), so the stream itself goes
# through every norm. Most models since normalise *before*: x + part(norm(x)). Both look innocent.
# We initialise as in 2017 (Xavier) and measure how large the gradient is at the last block.
#
# **Guess before you run:** as the stack grows from 2 to 24 blocks, what does that gradient do?


# %%
def as_in_2017(block_class, depth, seed=options.seed):
    torch.manual_seed(seed)
    model = Writer(block_class, depth, width=32)
    nn.init.normal_(model.tokens.weight)
    model.positions.data = sinusoidal_positions(12, 32)
    for layer in model.modules():
        if isinstance(layer, nn.Linear):
            nn.init.xavier_uniform_(layer.weight)
            nn.init.zeros_(layer.bias)
    return model


# %%
def last_gradient(block_class, depth):
    found = []
    for seed in range(1 if options.quick else 4):
        model = as_in_2017(block_class, depth, seed)
        loss(model, sums(seed)).backward()
        found.append(model.stack.blocks[-1].feed_forward.contract.weight.grad.norm())
    return torch.stack(found).mean().item()


# %%
depths = [2, 4, 8, 16, 24]
kinds = {"norm before": TransformerBlock, "norm after": PostNormBlock}
sizes = {name: [last_gradient(kind, n) for n in depths] for name, kind in kinds.items()}
for name, values in sizes.items():
    print(f"{name}: " + ", ".join(f"{n} blocks {v:.2f}" for n, v in zip(depths, values)))

# %% [markdown]
# With the norm before, the stream grows as parts are added, and each part's share of it shrinks:
# the deeper the stack, the smaller the gradient of each. With the norm after, the last block keeps
# its large gradient however deep the stack is, while all below it are still noise. A large
# learning rate then takes a large step in a bad direction at once. The old cure: a warm-up.
#
# **Guess before you run:** 4 blocks, learning rate 0.006. Which of the four runs fails?

# %%
runs = {}
few = options.other_steps(200, quick=15)
for name, kind in kinds.items():
    for warmup in (0.0, 0.5):
        model_2017 = as_in_2017(kind, depth=4)
        options_2017 = {"learning_rate": 6e-3, "weight_decay": 0.0, "max_grad_norm": float("inf")}
        rows = fit(model_2017, lambda step: sums(step, 64), loss, steps=few, warmup=warmup,
                   device=options.device, **options_2017)  # fmt: skip
        runs[name, warmup] = torch.tensor([row["loss"] for row in rows])
        print(f"{name}, warm-up {warmup:.0%} of the steps: {runs[name, warmup][-10:].mean():.2f}")

# %%
figure, (left, right) = plt.subplots(1, 2, figsize=(10, 3.4), layout="tight")
for (name, values), color in zip(sizes.items(), plots.LINES):
    left.plot(depths, values, "o-", color=color, label=name)
left.set(xlabel="blocks", ylim=(0, 2), title="gradient at the last block, untrained")
left.set_xticks(depths)
left.legend(frameon=False)
for (name, warmup), values in runs.items():
    color = plots.LINES[name == "norm after"]
    style, label = ("-", "no warm-up") if warmup == 0 else ("--", "warm-up")
    smooth = values.unfold(0, min(10, few), 1).mean(-1)
    right.plot(range(few - len(smooth), few), smooth, style, color=color, label=f"{name}, {label}")
right.set(xlabel="step", title="loss with learning rate 0.006")
right.legend(frameon=False, fontsize=8)
save(figure, "norm_before_or_after.png")

# %% [markdown]
# Norm before trains either way. Norm after needs the warm-up; without it, it is stuck for most of
# the run, or for good. That is why `TransformerBlock` has its norms inside, and `PostNormBlock` is
# there for the old models.

# %% [markdown]
# ## The learning rate
#
# A warm-up is cheap insurance for pre-norm too: AdamW divides by the size of past gradients,
# and at step 0 there are none. Afterwards long steps, and at the end short ones to settle: half a
# cosine down. `fit` calls `warmup_cosine` at every step.

# %%
figure, axis = plt.subplots(figsize=(8.5, 3), layout="tight")
for warmup, floor, color in ((0, 0.0, 2), (60, 0.0, 0), (200, 6e-4, 1)):
    rates = [warmup_cosine(step, 600, warmup, 3e-3, floor) for step in range(700)]
    label = f"{warmup} steps of warm-up, floor {floor:g}"
    axis.plot(rates, color=plots.LINES[color], label=label)
axis.axvline(600, color=plots.QUIET, ls="--", lw=1)
axis.text(604, 2.6e-3, "steps", color=plots.QUIET)
axis.set(xlabel="step", ylabel="learning rate")
axis.legend(frameon=False, loc="upper left", bbox_to_anchor=(1, 1))
save(figure, "schedule.png")

# %% [markdown]
# Your turn: `learn check optimizer.warmup_cosine`.

# %% [markdown]
# ## Weight decay
#
# AdamW pulls weights towards 0 at each step: a small matrix is a simple function. But a norm's gain
# of 0 switches its layer off, and a position at 0 is no position.
#
# **Guess before you run:** how many of the model's parameter tensors are decayed, how many of its
# numbers?

# %%
small = Writer(depth=1)
decayed, spared = decay_groups(small, weight_decay=0.01)
chosen = {id(parameter) for parameter in decayed["params"]}
rows = [(name, p.numel(), id(p) in chosen) for name, p in small.named_parameters()]
numbers = sum(size for _, size, decays in rows if decays) / sum(size for _, size, _ in rows)
print(
    f"{sum(d for *_, d in rows)} of {len(rows)} tensors, {numbers:.1%} of the numbers, are decayed"
)

# %%
figure, axis = plt.subplots(figsize=(7.5, 4.6), layout="tight")
colors = [plots.LINES[0] if decays else plots.LINES[1] for *_, decays in rows]
axis.barh(range(len(rows)), [size for _, size, _ in rows], color=colors)
axis.set_yticks(range(len(rows)), [name for name, *_ in rows], fontsize=7.5)
axis.invert_yaxis()
axis.set(xscale="log", xlabel="numbers in it", title="a model of one block")
for label, color in (("decayed", 0), ("spared", 1)):
    axis.barh(0, 0, color=plots.LINES[color], label=label)
axis.legend(frameon=False, loc="lower right")
save(figure, "weight_decay.png")

# %% [markdown]
# Your turn: `learn check optimizer.decay_groups`.

# %% [markdown]
# ## What every part is worth
#
# Leave out one part at a time, train for as many steps, and sit the same exam.
#
# **Guess before you run:** put them in order, the largest loss of accuracy first: feed-forward,
# sums, norms, positions, two of the three blocks.


# %%
class AttentionOnly(TransformerBlock):
    def forward(self, x, mask=None, cache=None):
        return x + self.attention(self.attention_norm(x), mask=mask, cache=cache)


class NoNorm(TransformerBlock):
    def forward(self, x, mask=None, cache=None):
        x = x + self.attention(x, mask=mask, cache=cache)
        return x + self.feed_forward(x)


def placeless():
    model = Writer()
    del model.positions
    model.register_buffer("positions", torch.zeros(12, 64))
    return model


# %%
variants = {
    "no norms": lambda: Writer(NoNorm),
    "no positions": placeless,
    "no sums": lambda: Writer(Replaces),
    "no feed-forward": lambda: Writer(AttentionOnly),
    "one block": lambda: Writer(depth=1),
}
worth = {"everything": right_sums}
for name, make in variants.items():
    torch.manual_seed(options.seed)
    crippled = make()
    fit(crippled, sums, loss, steps=steps, **settings)
    crippled.cpu()
    worth[name] = score(crippled)
    print(f"{name:16s} {worth[name]:.3f}")
path = plots.bars(worth, out / "ablation.png", heading="exam sums written without a mistake")
print("figure:", path)

# %% [markdown]
# Sums of three digits need little depth: one block does it, or nearly. But it needs all of its
# parts. Some of these models would get there with more steps or a learning rate of their own; an
# ablation says what a part is worth *here*.

# %% [markdown]
# ## In the field's words
#
# An item of a sequence is a **token**, its vector an **embedding**. A block has **self-attention**,
# a **feed-forward network** (MLP), and before each a **layer normalisation**. The sums are
# **residual (skip) connections**, what they add to is the **residual stream**. Positions that
# become the same are **rank collapse** (or oversmoothing). Norm before or after: **pre-norm** and
# **post-norm** (pre-LN, post-LN). Sines and cosines of the position: **sinusoidal position
# encoding**. Training on correct prefixes: **teacher forcing**; that the exam has another input
# than training is **exposure bias**. The loss is **next-token cross-entropy**; its exponential is
# the **perplexity**. Leaving out one part at a time is an **ablation**. A mask that leaks is
# **label leakage**. The learning rate has a **warm-up** and a **cosine decay**. `fit` also scales
# down a gradient whose norm is above 1 (**gradient clipping**), and can multiply matrices in
# bfloat16 (**mixed precision**).
#
# **Left out here:** Dropout, rotary and relative positions, RMSNorm, gated feed-forward networks
# (SwiGLU), weight tying, sampling with a temperature, beam search, and scaling laws: how loss
# falls with parameters and data.
#
# All terms, with their files: [glossary](glossary.md). Used here, explained elsewhere:
# [ViT](glossary.md#v) (lesson 03), [CLIP](glossary.md#c) and [temperature](glossary.md#t) (05).

# %% [markdown]
# ## Three questions
#
# For pen and paper; the answers are in [answers.md](answers.md).
#
# 1. A model has a cross-entropy of 1.2 nats a token on held-out text. What is its perplexity, and
#    what would it be for a model that guesses uniformly among 12 tokens?
#
# 2. Why do pre-norm stacks need one more norm behind the last block, and post-norm stacks none?
#
# 3. A causal mask hides the future. Can a causal language model without any position encoding still
#    use the order of its tokens? From how many blocks on?

# %% [markdown]
# ## What to take home
#
# - A block adds to the residual stream: attention, then a feed-forward network. Sums keep positions
#   apart and gradients from vanishing.
# - Attention ignores order: positions are added to the tokens.
# - Norm before the part: trains at high learning rates, without a warm-up if need be.
# - A causal mask that leaks gives the best loss and the worst model. Test it by changing later
#   tokens.
# - Decay matrices, spare the rest. Warm up in a line, cool down on a cosine.
#
# Next: `tutorials/03_vision_transformer.py` feeds the same blocks with patches of images.

# %%
report("exam sums written without a mistake", right_sums, 0.99, unjudged=options.unjudged)
