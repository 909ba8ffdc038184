"""Lesson 04, words: byte-pair encoding and the text transformer.

Question: how does a sentence become numbers that a model can encode, and which of its tokens
represents the whole sentence?

Time: under a minute on two cores (`--quick`: about 10 s). Figures go to runs/04_words/
(`--quick`: to runs/04_words_quick/).
Read beside it: scratchmm/language/bpe.py, then scratchmm/language/text_transformer.py.
Exercises: bpe.train_merges, bpe.merge_word, bpe.decode, bpe.pad_batch,
text_transformer.pool_at_end.
Papers: Neural Machine Translation of Rare Words with Subword Units (arXiv 1508.07909); Learning
Transferable Visual Models From Natural Language Supervision (arXiv 2103.00020), section 2.4.
"""

# %% [markdown]
# # Words: byte-pair encoding and the text transformer
#
# An image is numbers from the start. A sentence is not. This lesson cuts sentences into tokens,
# learns the cuts from data, and trains a small transformer that encodes them: CLIP's other half
# (lesson 05 has the whole). By the end you can say why `red` and ` red` are two tokens, what a
# merge is worth, why padding needs no mask here, and why CLIP pools the last token and not the
# first.

# %%
from dataclasses import replace
from itertools import pairwise

import matplotlib.pyplot as plt
import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

# %%
from scratchmm import plots
from scratchmm.data.world.captions import relation, wordings
from scratchmm.data.world.questions import OPPOSITE
from scratchmm.data.world.scenes import COLORS, SHAPES, Scene, sample_scene, split_combinations
from scratchmm.language.bpe import BytePairEncoding, decode, merge_word, replace_pair, train_merges
from scratchmm.language.cleaning import byte_to_symbol, clip_words, gpt2_words, spell
from scratchmm.language.text_transformer import TextConfig, TextTransformer, pool_at_end
from scratchmm.layers.attention import watch_attention
from scratchmm.lesson import LessonParser, report
from scratchmm.training.fit import fit
from scratchmm.training.sampling import shuffled_batches

# %%
parser = LessonParser(__doc__)
options = parser.read("")  # in a notebook, flags go here: "--quick --steps 50"
out = options.folder("04_words")
rng = np.random.default_rng(options.seed)
torch.manual_seed(options.seed)

# %% [markdown]
# ## 1. Bytes
#
# **Question.** How many different bytes does a text need, in any language, with any emoji? And how
# many characters does Unicode have?
#
# **Answer.** 256, and about 150,000. So we begin with bytes: no character is ever out of
# vocabulary. The published vocabularies write each byte as one printable character; a space becomes
# `Ġ`.

# %%
for text in ("red", " red", "né", "星", "🌟"):
    print(f"{text!r:8} bytes {list(text.encode())}  symbols {spell(text)}")
print("a space is written", byte_to_symbol()[ord(" ")])

# %% [markdown]
# Bytes alone make sentences long. Whole words would be short, but then `starry` is out of
# vocabulary. The way in between is to *learn* which runs of bytes deserve a token of their own.
#
# First a text is cut into words, and tokens never cross a cut. GPT-2 leaves the space on the word
# that follows it, so nothing is lost. CLIP lower-cases, drops spaces and marks each word's end.

# %%
text = "The RED star isn't 12 blue stars!"
print("GPT-2:", ["".join(word) for word in gpt2_words(text)])
print("CLIP: ", ["".join(word) for word in clip_words(text)])

# %% [markdown]
# ## 2. Which two symbols would you join first?
#
# **Question.** A text holds `low` five times, `lot` twice and `now` four times. Count neighbours:
# which pair comes first, and which one second?

# %%
words = {tuple("low"): 5, tuple("lot"): 2, tuple("now"): 4}
counts: dict[tuple[str, str], int] = {}
for word, frequency in words.items():
    for pair in pairwise(word):
        counts[pair] = counts.get(pair, 0) + frequency
print("counts:", counts)
print("merges:", train_merges(words, 3))

# %% [markdown]
# **Answer.** `o w` (9), though `l o` (7) stands earlier. That join changes the counts: `l o` is now
# only in `lot` (2), and `l ow` (5) comes second. That is the whole algorithm: count, join the most
# frequent pair, count again. Ties go to the smallest pair, so that everyone gets the same tokens.
#
# ## 3. Learn the tokens of our world
#
# Sentences about two things, with one label for each: *what lies left, or on top?* The words `red
# ring above blue star` mean something else in another order. Some combinations of colour and shape
# are held out: no sentence of the training set mentions a purple star.

# %%
seen, unseen = split_combinations(options.seed)


def first_thing(scene):
    """The thing on the left or on top, or None where the two are too close to tell."""
    side = relation(*scene.things)
    return None if side is None else scene.things[0 if side in ("left of", "above") else 1]


def recolour(scene, thing, color, shape):
    other = replace(thing, color=color, shape=shape)
    return Scene(tuple(other if each is thing else each for each in scene.things))


# %%
def tell(count, answers=None):
    """Sentences with the colour and shape of the thing that lies left or on top."""
    told = []
    while len(told) < count:
        scene = sample_scene(rng, 2, seen)
        if answers and first_thing(scene):
            scene = recolour(scene, first_thing(scene), *answers[rng.integers(len(answers))])
        if first_thing(scene) is None or len({(t.color, t.shape) for t in scene.things}) == 1:
            continue
        choices = [w for w in wordings(scene) if any(side in w for side in OPPOSITE)]
        thing = first_thing(scene)
        told.append((choices[rng.integers(len(choices))], thing.color, thing.shape))
    return told


# %%
size, steps = 2000 if options.quick else 6000, options.training_steps(200, quick=80)
train, held_out = tell(size), tell(1000, unseen)
sentences = [sentence for sentence, _, _ in train]
for sentence, color, shape in train[:3] + held_out[:2]:
    print(f"{sentence:50} -> {color} {shape}")

# %% [markdown]
# **Question.** Which will be the first token that the tokenizer makes for itself here? Look at the
# sentences: which two characters stand together most often?

# %%
tokenizer = BytePairEncoding.train(sentences, merges=300)


def shown(symbol):
    return symbol.replace("Ġ", "·")


for place, (left, right) in enumerate(tokenizer.merges[:16]):
    print(f"merge {place + 1:2}: {shown(left):>5} + {shown(right):<5} -> {shown(left + right)}")
print(f"{len(tokenizer)} tokens: 256 bytes, {len(tokenizer.merges)} merges, start, end, padding")

# %% [markdown]
# **Question.** `triangle` has eight letters. Does it take seven merges to become one token, and do
# they go from left to right? The figure shows the word after each merge that touches it.


# %%
def draw_token(axis, symbol, x, y):
    """One token as a box, the longer the darker."""
    color = plt.cm.Blues(min(0.08 + 0.07 * len(symbol), 0.6))
    axis.add_patch(plt.Rectangle((x + 0.06, y + 0.1), len(symbol) - 0.12, 0.8, fc=color))
    middle = dict(ha="center", va="center", family="monospace")
    axis.text(x + len(symbol) / 2, y + 0.5, symbol, **middle)


# %%
def draw_rows(rows, labels, path, heading):
    """Rows of tokens, each with a name."""
    width = max(sum(map(len, row)) for row in rows)
    figure, axis = plt.subplots(figsize=(2 + 0.16 * width, 0.7 + 0.34 * len(rows)))
    for y, row in enumerate(rows):
        for place, symbol in enumerate(row):
            draw_token(axis, shown(symbol), sum(map(len, row[:place])), y)
    axis.set(xlim=(0, width), ylim=(len(rows), 0), xticks=[], title=heading)
    axis.set_yticks([y + 0.5 for y in range(len(rows))], labels)
    axis.spines[:].set_visible(False)
    finish(figure, axis, path)


# %%
def finish(figure, axis, path):
    axis.spines[["top", "right"]].set_visible(False)
    axis.tick_params(length=0)
    print("figure:", plots.save(figure, path))


# %%
def stages(word):
    """The word after each merge that touches it, and the number of that merge."""
    symbols, rows, labels = list(spell(word)), [list(spell(word))], ["bytes"]
    for place, pair in enumerate(tokenizer.merges):
        joined = replace_pair(symbols, pair)
        if joined != symbols:
            rows.append(joined)
            labels.append(f"merge {place + 1}")
        symbols = joined
    return rows, labels


rows, labels = stages(" triangle")
draw_rows(rows, labels, out / "growing.png", "the merges of ·triangle")

# %% [markdown]
# **Answer.** Eight, with the space, and not from left to right. What other words share comes first,
# wherever it stands: `le` (purple, circle), `an` (orange), `ri` (ring). What only `triangle` has is
# joined much later, all in a row. Encoding replays this: always the pair *learned first*.
#
# We asked for 300 merges and got about 100: by then every word of our world is one token.
#
# **Question.** With the merges `b c`, then `a b`: what becomes of `abc`?

# %%
print(merge_word("abc", {("b", "c"): 0, ("a", "b"): 1}))

# %% [markdown]
# **Answer.** `a bc`. Going from left to right would give `ab c`, other ids, and the input of a
# published model would be nonsense.
#
# ## 4. What is a larger vocabulary worth?
#
# **Question.** The same sentence with 0, 10, 30, 60 and 100 merges: how many tokens each?

# %%
sentence = "a small purple ring left of an orange triangle"
rows, labels, tokenizers = [], [], {}
for count in (0, 10, 30, 60, 100):
    tokenizers[count] = BytePairEncoding.train(sentences[:1000], count)
    ids = tokenizers[count].encode(sentence)
    rows.append([tokenizers[count].symbols[token] for token in ids])
    labels.append(f"{count} merges: {len(ids)} tokens")
draw_rows(rows, labels, out / "cuts.png", "one sentence, five vocabularies")

# %% [markdown]
# **Question.** Will these tokens shorten a text they were not learned from just as much?

# %%
other_texts = {
    "our world": sentences[-500:],
    "English prose": [TextTransformer.__doc__, BytePairEncoding.__doc__, __doc__],
    "German": ["Ein kleiner roter Stern liegt links von einem großen blauen Ring."],
    "Japanese": ["小さな赤い星は大きな青い輪の左にあります。"],
}
figure, axis = plt.subplots(figsize=(6, 3.4))
for (name, texts), color in zip(other_texts.items(), plots.LINES, strict=True):
    length = sum(len(text) for text in texts)
    tokens = [sum(len(t.encode(x)) for x in texts) / length for t in tokenizers.values()]
    axis.plot([256 + count for count in tokenizers], tokens, marker="o", label=name, color=color)
axis.set(xlabel="vocabulary", ylabel="tokens per character", ylim=(0, 3.2))
axis.legend(frameon=False)
finish(figure, axis, out / "tokens_per_character.png")

# %% [markdown]
# **Answer.** No. Our world's sentences shrink to a fifth, English by a tenth, and Japanese stays at
# three bytes a character: a tokenizer is learned from data like everything else, and what was not
# in its training text is expensive. But nothing is lost, not even from a text unlike any in
# training:

# %%
strange = "naïve café 星 👩‍👩‍👧 \x00"
ids = tokenizer.encode(strange)
print(f"{len(strange)} characters, {len(ids)} tokens, back again: {tokenizer.decode(ids)!r}")
print("token by token:", [decode([token], tokenizer.vocabulary) for token in ids[:6]])

# %% [markdown]
# Decoding joins the *bytes* of all tokens before it decodes characters: half of an `ï` is no text.
# ## 5. A batch of tokens
#
# A batch is a rectangle, sentences differ in length. Each gets a start token, an end token, and
# padding behind. One that is too long is truncated but keeps its end token.

# %%
length = 16
tokens, real = tokenizer.batch(["a red ring above a blue star", "a star", sentence], length)
for row, mask in zip(tokens, real, strict=True):
    names = [shown(tokenizer.symbols[token]).strip("<|>") for token in row]
    print(" ".join(name if keep else "." for name, keep in zip(names, mask, strict=True)))


# %% [markdown]
# ## 6. The causal mask
#
# CLIP's text transformer is causal: a token attends to itself and to those before it. **Question.**
# If one token is exchanged, at which positions can the output change? Think before you look at the
# figure: rows are the token exchanged, columns the position of the output.


# %%
class SentenceClassifier(nn.Module):
    """A text transformer, a pooling that makes one vector of a sentence, and a linear head."""

    def __init__(self, pool):
        super().__init__()
        config = TextConfig(len(tokenizer), length, 64, 2, 4, hidden=256, end_token=tokenizer.end)
        self.text, self.pool = TextTransformer(config), pool
        self.head = nn.Linear(64, len(COLORS) + len(SHAPES))

    def forward(self, tokens):
        return self.head(self.pool(self.text, tokens))


# %%
def at_end(text, tokens):
    return pool_at_end(text(tokens), tokens, tokenizer.end)


def at_start(text, tokens):
    return text(tokens)[:, 0]


def bag_of_words(text, tokens):
    """No transformer at all: the sum of the token embeddings, whatever their order."""
    return (text.tokens(tokens) * (tokens != tokenizer.pad).unsqueeze(-1)).sum(dim=1)


# %%
@torch.no_grad()
def influence(text, tokens):
    """(L, L): how far the output at a column moves when the token of a row is exchanged."""
    before, moved = text(tokens), []
    for place in range(tokens.shape[1]):
        changed = tokens.clone()
        changed[0, place] = (changed[0, place] + 1) % len(tokenizer)
        moved.append((text(changed) - before).norm(dim=-1)[0])
    return torch.stack(moved)


# %% [markdown]
# ## 7. Train it: which token to pool?
#
# One linear head predicts colour and shape of the label from one vector. Three classifiers differ
# only in where that vector comes from: the end token, the start token, or the bag of words.
# **Question.** Which of them can predict what lies on top? What is the best the other two can do?


# %%
def tensors(told):
    tokens, _ = tokenizer.batch([sentence for sentence, _, _ in told], length)
    colors = torch.tensor([COLORS.index(color) for _, color, _ in told])
    shapes = torch.tensor([SHAPES.index(shape) for _, _, shape in told])
    return tokens, colors, shapes


def loss(classifier, batch):
    tokens, colors, shapes = batch
    color, shape = classifier(tokens).split([len(COLORS), len(SHAPES)], dim=1)
    return F.cross_entropy(color, colors) + F.cross_entropy(shape, shapes)


# %%
@torch.no_grad()
def accuracy(classifier, told):
    """The share of sentences whose colour and shape are both right."""
    tokens, colors, shapes = tensors(told)
    color, shape = classifier.eval()(tokens).split([len(COLORS), len(SHAPES)], dim=1)
    right = (color.argmax(dim=1) == colors) & (shape.argmax(dim=1) == shapes)
    return right.float().mean().item()


# %%
data, indices = tensors(train), shuffled_batches(size, 128, options.seed)
fresh = tell(1000)  # new sentences about combinations of the training set
classifiers, reached = {}, {}


def batch_at(step):
    return tuple(part[indices(step)] for part in data)


# %%
settings = {"learning_rate": 3e-3, "seed": options.seed, "device": options.device}
for pool in (at_end, at_start, bag_of_words):
    torch.manual_seed(options.seed)
    classifiers[pool], name = SentenceClassifier(pool), pool.__name__.replace("_", " ")
    rows = fit(classifiers[pool], batch_at, loss, steps=steps, **settings)
    classifiers[pool].cpu()  # all that follows is computed there
    if pool is at_end:
        path = plots.curve(rows, out / "curve.png", heading="the classifier at the end token")
        print("figure:", path)
    reached[f"{name}, seen"] = accuracy(classifiers[pool], fresh)
    reached[f"{name}, held out"] = accuracy(classifiers[pool], held_out)

# %%
path = plots.bars(
    reached, out / "classifiers.png", heading="colour and shape both right", label="share"
)
print("figure:", path)
for name, share in reached.items():
    print(f"{name:28} {share:.3f}")

# %% [markdown]
# **Answer.** Only the end token attends to the whole sentence. The start token attends to nothing
# but itself: one prediction for all sentences, right once in 52, and never for a label that
# training did not have. The bag of words holds both colours and both shapes and not which belongs
# to which: four choices, about one in four, and fewer where the right one was held out. The
# classifier at the end token is right on held-out combinations: it has learned what a colour is
# apart from what a shape is.
#
# Now the figure that was promised, from the trained classifier.

# %%
text = classifiers[at_end].text.eval()
tokens, real = tokenizer.batch(["below a white heart is a small green ring"], length)
tokens = tokens[:, : int(real.sum()) + 2]
names = [shown(tokenizer.symbols[token]).strip("<|>") for token in tokens[0]]
moved = influence(text, tokens)
labels = ("exchanged token", "output that moves")
path = out / "causality.png"
print("figure:", plots.similarity_matrix(moved, names, names, path, labels=labels, limits=None))
below = torch.ones_like(moved).tril(-1).bool()
print("largest change before the exchanged token:", moved[below].max().item())

# %% [markdown]
# **Answer.** Nothing moves to the left of an exchanged token: the lower triangle is exactly zero.
# So padding, which stands to the right of the end token, cannot change it: no padding mask is
# needed.
# ## 8. What does the end token attend to?
#
# **Question.** What lies on top in `below a white heart is a small green ring`? So which words must
# the end token attend to?

# %%
with watch_attention() as seen_weights, torch.no_grad():
    text(tokens)
end = int((tokens[0] == tokenizer.end).nonzero()[0, 0])
rows = torch.cat([weights[0, :, end, : end + 1] for weights in seen_weights])
heads = [f"block {block + 1}, head {head + 1}" for block in range(2) for head in range(4)]
print("the last block attends most to", [names[place] for place in rows[4:].argmax(dim=1)])
path, labels = out / "attention.png", ("", "attention of the end token")
path = plots.similarity_matrix(rows, heads, names[: end + 1], path, labels=labels, limits=(0, 1))
print("figure:", path)

# %% [markdown]
# **Answer.** The white heart lies on top. Yet in the last block the end token hardly attends to
# `white` or `heart`: it attends to the tokens just behind them, as a rule to `is`. In the first
# block that token attended to both words and, being an `is`, can mark what stood before it as the
# place and not the subject. The figure above agrees: exchange `white` or `heart`, and everything
# from `is` on moves. After one block a token no longer represents its word alone; it represents
# what it has attended to.

# %% [markdown]
# ## In the field's words
#
# **Subword tokenization** by **byte-pair encoding** (BPE), here byte-level, so that there is no
# **out-of-vocabulary** token. Tokens a character is the **compression rate** (its mean a word:
# fertility). The text transformer is a **causal (decoder-style) encoder**; taking its output at the
# end token is **last-token pooling**, and a bag of words is **mean (sum) pooling** of embeddings.
# Exchanging a token and measuring which outputs move is an **intervention** on the input.
#
# **Left out here:** WordPiece (lesson 09), unigram models (SentencePiece), the regular expression
# that cuts text before merging, normalisation of Unicode, and what languages that were rare in the
# tokenizer's data pay.
#
# All terms, with their files: [glossary](glossary.md).

# %% [markdown]
# ## Three questions
#
# For pen and paper; the answers are in [answers.md](answers.md).
#
# 1. A vocabulary is made ten times as large. Name one thing that gets cheaper and two that get
#    dearer.
#
# 2. Why must a tokenizer apply its merges in the order in which they were learned?
#
# 3. The padding stands to the right of a causal model's sentence, and no mask is needed. What if
#    it stood to the left?

# %% [markdown]
# ## What we have
#
# A tokenizer learned from data, and a transformer whose last token represents the sentence. Lesson
# 05 puts this vector beside that of an image. Now write the parts yourself:
# `python -m scratchmm learn check bpe.train_merges`.

# %%
report("colour and shape, held out", reached["at end, held out"], 0.95, unjudged=options.unjudged)
