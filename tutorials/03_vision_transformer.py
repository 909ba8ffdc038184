"""Lesson 03, vision transformer: an image is a sentence whose words are patches.

Question: a transformer's input is a sequence of tokens. An image is no sequence. What must be done
so that the transformer of lesson 02 can encode it, and what does it learn about space from data
alone?

Time: about 2 minutes on two cores (`--quick`: about 10 s). Figures go to
runs/03_vision_transformer/ (`--quick`: to runs/03_vision_transformer_quick/).
On handwritten digits: `--data mnist --root FOLDER` (or SCRATCHMM_DATA), about 2 minutes.
Read beside it: scratchmm/vision/vit.py.
Exercises: embeddings.patchify, embeddings.PatchEmbedding, vit.ViTEmbeddings,
rollout.attention_rollout, embeddings.resize_positions
(`python -m scratchmm learn check embeddings.patchify`).
Papers: An Image is Worth 16x16 Words (arXiv 2010.11929); Quantifying Attention Flow in Transformers
(arXiv 2005.00928), section 3.
"""

# %% [markdown]
# # The vision transformer
#
# By the end you can say what a patch token is made of, why there is a token that belongs to no
# patch, what is lost without positions (you will measure it), how to show what a transformer
# attends to, and how a model trained on small images encodes larger ones.

# %%
import copy
from dataclasses import replace

import matplotlib.pyplot as plt
import numpy as np
import torch
import torch.nn.functional as F
from einops import rearrange

# %%
from scratchmm import plots
from scratchmm.data.sets.mnist import load_mnist
from scratchmm.data.world.images import draw_many
from scratchmm.data.world.scenes import SHAPES, sample_scene, split_combinations
from scratchmm.layers.attention import watch_attention
from scratchmm.lesson import LessonParser, report
from scratchmm.training.augment import random_shift
from scratchmm.training.fit import fit
from scratchmm.training.sampling import shuffled_batches
from scratchmm.vision.rollout import attention_rollout
from scratchmm.vision.vit import (
    PatchEmbedding,
    ViTClassifier,
    ViTConfig,
    ViTEmbeddings,
    patchify,
    resize_positions,
)

# %%
parser = LessonParser(__doc__)
parser.add_argument("--data", choices=("world", "mnist"), default="world")
parser.add_argument("--root", help="the folder with MNIST (default: SCRATCHMM_DATA)")
options = parser.read("")  # in a notebook, flags go here: "--quick --steps 50"
world, quick = options.data == "world", options.quick
out = options.folder("03_vision_transformer") / options.data
out.mkdir(parents=True, exist_ok=True)
torch.manual_seed(options.seed)
torch.set_num_threads(1)  # the models here are so small that a second core only gets in the way


# %% [markdown]
# ## The images
#
# By default things from the generated world, 32 x 32 pixels, in colour. The label is **what and
# where**: which of eight shapes, in which quarter of the image. That makes 32 classes. Twelve
# combinations of colour and shape are held out of training: there is no purple star. With `--data
# mnist`: handwritten digits, 28 x 28 pixels, one channel of grey, and the label is the digit.


# %%
PLACES = ("top left", "top right", "bottom left", "bottom right")


def draw_things(count, combinations, seed):
    """Images (B, 3, 32, 32) in [-1, 1] of one thing each, and the number of its class (B)."""
    rng, scenes = np.random.default_rng((seed, options.seed)), []
    while len(scenes) < count:
        scene = sample_scene(rng, combinations=combinations)
        (thing,) = scene.things
        if min(abs(thing.x - 0.5), abs(thing.y - 0.5)) > 0.03:  # else: which quarter is it?
            scenes.append(scene)
    things = [scene.things[0] for scene in scenes]
    classes = [4 * SHAPES.index(t.shape) + 2 * (t.y > 0.5) + (t.x > 0.5) for t in things]
    return draw_many(scenes), torch.tensor(classes)


# %%
if world:
    seen, unseen = split_combinations()
    images, labels = draw_things(1500 if quick else 24_576, seen, seed=1)
    held_out, answers = draw_things(2000, seen, seed=2)
    names = [f"{shape}, {place}" for shape in SHAPES for place in PLACES]
else:
    images, labels, names = load_mnist(options.root, "train")
    held_out, answers, _ = load_mnist(options.root, "test")
if quick:
    held_out, answers = held_out[:1000], answers[:1000]

# %%
examples, words = held_out[:16], [names[label] for label in answers[:16].tolist()]
print(f"{len(images):,} images {tuple(images.shape[1:])} to train on, {len(names)} classes")
print("figure:", plots.image_grid(examples, words, out / "images.png"))

# %% [markdown]
# ## Cut the image
#
# Lesson 01 ended with a price: every token attends to every token, so n tokens cost n times n
# weights. A photo of 224 x 224 pixels has 50,176. **Guess before you run:** how many weights would
# one head need if every pixel were a token? And with patches of 16 x 16?

# %%
for side in (1, 16):
    tokens = (224 // side) ** 2
    print(f"patches of {side} x {side}: {tokens:,} tokens, {tokens**2:,} weights a head and layer")

# %% [markdown]
# Two and a half billion against 38 thousand. So the image is cut into patches, and a patch is
# a word. `patchify` only moves numbers: (B, C, height, width) becomes (B, N, C p p). Each patch is
# laid out flat: channel by channel, row by row.

# %%
patch = 8 if world else 7
patches = patchify(examples, patch)  # (B, N, C p p)
side = examples.shape[-1] // patch  # patches in a row
print(f"{tuple(examples.shape)} -> {tuple(patches.shape)}")


def joined(patches):
    """The inverse, (B, N, C p p) to (B, C, height, width): nothing got lost."""
    return rearrange(patches, "b (h w) (c p q) -> b c (h p) (w q)", h=side, p=patch, q=patch)


torch.testing.assert_close(joined(patches), examples)


# %%
def spread(patches, columns, gap=2):
    """Patches (N, C, p, p) side by side with white gaps between them, as one image."""
    apart = F.pad(patches, (0, gap, 0, gap), value=1.0)
    return rearrange(apart, "(h w) c p q -> c (h p) (w q)", w=columns)[:, :-gap, :-gap]


def show(axis, image, title="", **how):
    """An image (C, H, W) in [-1, 1], or one number a place (H, W), without ticks and frame."""
    if image.dim() == 3:
        image = ((image.expand(3, -1, -1) + 1) / 2).clamp(0, 1).permute(1, 2, 0)
    axis.set(xticks=[], yticks=[], title=title)
    axis.spines[:].set_visible(False)
    return axis.imshow(image, **how)


def save(figure, name):
    print("figure:", plots.save(figure, out / name))


# %%
cut = patches[0].unflatten(1, (-1, patch, patch))  # (N, C, p, p)
figure, axes = plt.subplots(1, 2, figsize=(5.6, 2.9), layout="tight")
show(axes[0], examples[0], f"a {words[0]}")
show(axes[1], spread(cut, side), f"{side} x {side} patches of {patch} x {patch} pixels")
save(figure, "cut.png")
figure, axis = plt.subplots(figsize=(10, 1.2), layout="tight")
show(axis, spread(cut, len(cut)), "the transformer's input: a sequence of patches")
save(figure, "row.png")

# %% [markdown]
# Try to name a shape from the second figure alone. The sequence is all that is handed on: which
# patch was above which is no longer in it.
#
# Your turn: `learn check embeddings.patchify`.

# %% [markdown]
# ## A patch becomes a token
#
# One Linear layer, the same for every patch, maps C p p numbers to a token of width D. It is where
# colours, edges and corners are found. (A convolution whose stride is its size does the same.)
#
# **Guess before you run:** we paint over one patch. How many tokens change? And how many have
# changed after one transformer block?

# %%
config = ViTConfig(
    side * patch, patch, 64, 3, 4, 256, channels=images.shape[1], classes=len(names), epsilon=1e-6
)
untrained = ViTClassifier(config)
embed = PatchEmbedding(config.channels, patch, config.width)
spot = (side // 2, side // 2 - 1)  # row and column of the patch that is painted over
painted = examples[:1].clone()
top, left = spot[0] * patch, spot[1] * patch
painted[:, :, top : top + patch, left : left + patch] = torch.rand(1, config.channels, 1, 1) * 2 - 1

# %%
with torch.no_grad():
    moved = [(embed(painted) - embed(examples[:1]))[0]]
    encoder = untrained.encoder
    before, after = encoder.embeddings(examples[:1]), encoder.embeddings(painted)
    block = encoder.transformer.blocks[0]
    moved.append((block(after) - block(before))[0, 1:])  # without CLS
for name, change in zip(("embedding", "one block"), moved, strict=True):
    print(f"changed after {name}: {(change.abs() > 1e-6).any(-1).sum()} of {config.patches} tokens")

# %%
figure, axes = plt.subplots(1, 4, figsize=(10, 2.9), layout="tight")
show(axes[0], examples[0], "image")
show(axes[1], painted[0], "one patch painted over")
for axis, change, name in zip(axes[2:], moved, ("after the embedding", "after one block")):
    size = change.norm(dim=-1).view(side, side)
    title = f"change of each token\n{name}"
    show(axis, size.clamp_min(1e-9).log10(), title, vmin=-3, vmax=1, cmap="viridis")
    for i, j in np.ndindex(side, side):
        text = "0" if size[i, j] < 1e-6 else f"{size[i, j]:.2g}"
        axis.text(j, i, text, ha="center", va="center", color="white", fontsize=8)
save(figure, "one_patch.png")

# %% [markdown]
# The embedding maps each patch alone; attention connects all of them. A convolutional network would
# need several layers until a change reaches the far corner. Here it takes one.
#
# Your turn: `learn check embeddings.PatchEmbedding`.

# %% [markdown]
# ## CLS and positions
#
# Two things are missing. Attention is over a **set** (lesson 01), so each token gets a **position**
# added: a vector learned for its place. And the prediction must come from one of the outputs. Which
# patch should it be? None: a learned token that stands before them, **CLS**, belongs to no patch,
# attends to all of them in every layer, and its output goes to the classifier.
#
# **Guess before you run:** we shuffle the patches of an image. Does the output at CLS change, with
# positions? Without?


# %%
def shuffled(images, seed=0):
    """Each image with its patches in an order of its own."""
    patches = patchify(images, patch)  # (B, N, C p p)
    generator = torch.Generator().manual_seed(seed)
    order = torch.rand(patches.shape[:2], generator=generator).argsort(1)  # (B, N)
    return joined(patches.gather(1, order[:, :, None].expand_as(patches)))


print("tokens:", tuple(ViTEmbeddings(config)(examples).shape), "CLS first")
without = ViTClassifier(config)
torch.nn.init.zeros_(without.encoder.embeddings.positions).requires_grad_(False)
for name, model in (("with positions", untrained), ("without", without)):
    with torch.no_grad():
        change = (model(shuffled(examples)) - model(examples)).abs().max()
    print(f"{name:15} the logits change by {change:.1e}")

# %% [markdown]
# Without positions, to the last digits of rounding, nothing: the model has a bag of patches. It
# could tell a red thing from a blue one. Could it tell a star from a cross? We'll see in a moment.
#
# Your turn: `learn check vit.ViTEmbeddings`.

# %% [markdown]
# ## Training
#
# Nothing new: images normalised to mean 0 and deviation 1, cross-entropy on the logits at CLS,
# `training.fit`. Digits are shifted by up to two pixels, another way each time, so that none can be
# memorised (things are not: they might move to another quarter). We train two models, with
# positions and without, and let positions begin at a tenth of their usual size, so that what they
# learn can be seen afterwards.
#
# **Guess before you run:** the model without positions can't predict *where*. Can it predict
# *what*?

# %%
mean, deviation = images.mean((0, 2, 3), keepdim=True), images.std((0, 2, 3), keepdim=True)
indices = shuffled_batches(len(images), batch_size=128, seed=options.seed)


def batch_at(step):
    batch, right = images[indices(step)], labels[indices(step)]
    generator = torch.Generator().manual_seed(options.seed * 1_000_003 + step)
    return batch if world else random_shift(batch, generator), right


def loss(model, batch):
    shown, right = batch
    return F.cross_entropy(model((shown - mean) / deviation), right)


# %%
@torch.no_grad()
def guesses(model, images):
    """The most likely class of each image, (B)."""
    model.eval()
    parts = [model((part - mean) / deviation).argmax(-1) for part in images.split(500)]
    return torch.cat(parts)


def accuracy(model, images, right):
    return (guesses(model, images) == right).double().mean().item()


# %%
model = untrained  # no longer
with torch.no_grad():
    model.encoder.embeddings.positions.mul_(0.1)
first_positions = model.encoder.embeddings.positions.detach()[1:].clone()
steps = options.training_steps(1000 if world else 1500, quick=40)
settings = dict(steps=steps, learning_rate=3e-3, weight_decay=0.3, device=options.device)
curves = {}
for name, one in (("with positions", model), ("without", without)):
    count = sum(p.numel() for p in one.parameters() if p.requires_grad)
    print(f"{name}: {count:,} parameters, {steps} steps")
    curves[name] = fit(one, batch_at, loss, progress=True, seed=options.seed, **settings)
    one.cpu()  # all that follows is computed there
reached = accuracy(model, held_out, answers)
print(f"right on {len(answers):,} images held out: {reached:.2%}")

# %%
figure, axis = plt.subplots(figsize=(5.6, 3), layout="tight")
for (name, curve), color in zip(curves.items(), plots.LINES):
    values = torch.tensor([row["loss"] for row in curve])
    smooth = values.unfold(0, min(20, len(values)), 1).mean(-1)
    axis.plot(smooth, color=color, label=name)
axis.axhline(np.log(len(names)), color=plots.QUIET, ls="--")
axis.text(steps, 0.97 * np.log(len(names)), "guessing", ha="right", va="top", color=plots.QUIET)
axis.set(xlabel="step", title="loss (mean of 20 steps)", ylim=(0, None))
axis.legend(frameon=False)
save(figure, "loss.png")

# %% [markdown]
# Both learn, one stops early: part of the label is out of reach of a bag of patches. Which part, we
# measure below.
# ## Held-out combinations
#
# (In the world.) A model could memorise each combination of colour and shape. The twelve that
# were held out show whether it did: no purple star was in training, but purple things were, and
# stars.

# %%
if world:
    strange, strange_answers = draw_things(2000, unseen, seed=3)
    unseen_reached = accuracy(model, strange, strange_answers)
    print(f"right on held-out combinations: {unseen_reached:.2%}")

# %% [markdown]
# In our run 99 of 100 were right among the combinations of the training set, and 92 among those
# held out: it has mostly learned what a star is, and a little that purple things are no stars. Look
# at its mistakes before you go on: would you have got them right?

# %%
found = guesses(model, held_out)
wrong = (found != answers).nonzero()[:16, 0]
if len(wrong):
    titles = [f"predicted: {names[found[i]]}" for i in wrong.tolist()]
    print("figure:", plots.image_grid(held_out[wrong], titles, out / "mistakes.png"))

# %% [markdown]
# ## What positions learn
#
# Positions began as random vectors: nothing tells which patches are neighbours. **Guess before you
# run:** take the learned position of one patch and compare it with all others (cosine). Which are
# similar?


# %%
def similarities(positions):
    """Cosines of each patch's position with all others: (rows, columns, rows, columns)."""
    unit = F.normalize(positions - positions.mean(0), dim=-1)
    return (unit @ unit.T).unflatten(1, (side, side)).unflatten(0, (side, side))


positions = model.encoder.embeddings.positions.detach()[1:]
figure, axes = plt.subplots(
    1, 2, figsize=(9, 4.3), layout="constrained", gridspec_kw={"wspace": 0.06}
)
for axis, vectors, title in zip(axes, (first_positions, positions), ("before", "after")):
    grids = F.pad(similarities(vectors), (0, 1, 0, 1), value=torch.nan)
    tiled = rearrange(grids, "r c h w -> (r h) (c w)")[:-1, :-1]
    shown = show(axis, tiled, title, vmin=-1, vmax=1, cmap="RdBu_r")
figure.colorbar(shown, ax=axes, shrink=0.8, label="similarity of two positions")
save(figure, "positions.png")

# %% [markdown]
# Each small square belongs to one patch, and shows the similarity of its position to all others
# (the darkest cell is the patch itself). Before, every position is similar to itself only. After,
# neighbours are similar and the opposite side is blue. No distance, no row, no column was in the
# input: places that matter in the same way got similar vectors, and in the world that goes by
# quarters. Patches that seldom show anything have learned little: the corners, and the border for
# digits.

# %% [markdown]
# ## What CLS attends to
#
# `watch_attention` returns the weights of every layer. Row 0 is what CLS attends to. But in
# the second layer a token is no longer its patch: it is a mixture already. **Rollout** multiplies
# the layers (each averaged over its heads, and half of it identity, for the residual), and so
# estimates how much of each patch is in CLS in the end.

# %%
with torch.no_grad(), watch_attention() as layers:
    model((examples - mean) / deviation)
rolled = attention_rollout(layers)  # (B, 1 + N, 1 + N)
maps = {f"layer {i}": w.mean(1)[:, 0, 1:] for i, w in enumerate(layers, 1)}
maps["rollout"] = rolled[:, 0, 1:]
ink = (examples - examples[:, :, :1, :1]).abs().amax(1, keepdim=True) > 0.3  # not background
thing = patchify(ink.float(), patch).mean(-1)  # (B, N), how much of each patch is thing
for name, weights in maps.items():
    shares = weights / weights.sum(1, keepdim=True)
    lies = (shares * (thing > 0)).sum(1).mean()
    print(f"{name}: {lies:.0%} on the {(thing > 0).float().mean():.0%} of patches with a thing")

# %%
figure, axes = plt.subplots(len(maps) + 1, 8, figsize=(10, 1.32 * (len(maps) + 1)), layout="tight")
for column in range(8):
    show(axes[0, column], examples[column], words[column].split(",")[0])
    for row, weights in enumerate(maps.values(), 1):
        weights = (weights[column] / weights[column].max()).view(1, 1, side, side)
        smooth = F.interpolate(weights, scale_factor=patch, mode="bilinear")[0, 0]
        show(axes[row, column], examples[column].mean(0, keepdim=True))
        show(axes[row, column], smooth, vmin=0, vmax=1, cmap="inferno", alpha=0.65)
for row, name in enumerate(("image", *maps)):
    axes[row, 0].set_ylabel(name)
save(figure, "attention.png")

# %% [markdown]
# No label says which patches the thing covers; outlines and ends get more weight than plain
# middles. The layers attend to different patches, so one layer's map is not "the" explanation.
# Rollout brings them together, and is paler: half of every token stays what it was, layer by layer.
# It is a visualisation, and no proof of what decided.
#
# Your turn: `learn check rollout.attention_rollout`.

# %% [markdown]
# ## What the order was worth
#
# Now the bag of patches. **Guess before you run:** the accuracy with and without positions, on
# whole and on shuffled images. Two of the four must be equal. Which?


# %%
def parts(model, images):
    """The share that is right: in the world what and where apart, for digits the digit."""
    found = guesses(model, images)
    if not world:
        return {"digit": (found == answers).double().mean().item()}
    what, where = found // 4 == answers // 4, found % 4 == answers % 4
    return {"what": what.double().mean().item(), "where": where.double().mean().item()}


mixed = shuffled(held_out)
results = {
    "with positions,\nwhole": parts(model, held_out),
    "with positions,\nshuffled": parts(model, mixed),
    "without,\nwhole": parts(without, held_out),
    "without,\nshuffled": parts(without, mixed),
}

# %%
guess = {"what": 1 / 8, "where": 1 / 4} if world else {"digit": 1 / 10}
figure, axis = plt.subplots(figsize=(6.4, 3.2), layout="tight")
bar = 0.8 / len(guess)
for index, (question, chance) in enumerate(guess.items()):
    places = np.arange(len(results)) + (index - (len(guess) - 1) / 2) * bar
    values = [result[question] for result in results.values()]
    drawn = axis.bar(places, values, bar * 0.92, color=plots.LINES[index], label=question)
    axis.bar_label(drawn, fmt="%.2f", fontsize=8)
    axis.axhline(chance, color=plots.LINES[index], ls=":", lw=1)
    print(question, {name.replace("\n", " "): round(v, 4) for name, v in zip(results, values)})
axis.set_xticks(range(len(results)), results)
axis.set(ylim=(0, 1.15), title="accuracy on images held out (dotted: guessing)")
axis.legend(frameon=False, loc="center left", bbox_to_anchor=(1, 0.5))
save(figure, "shuffled.png")

# %% [markdown]
# Without positions whole and shuffled images are the same thing, so these two are equal to the last
# digit. Did you expect *what* to survive so well? One patch with the point of a star in it gives it
# away; digits, which are made of the same few strokes, lose more. *Where* is gone. That it is above
# guessing is a finding too: how the grid of patches cuts a thing still hints at where it lies.
#
# The model with positions relies on them: it takes a shuffled image for an image that looks so.
#
# ## Another image size
#
# Nothing in a transformer requires a fixed number of tokens; only the positions were learned for
# one grid. `resize_positions` treats each of their D numbers as a small image and interpolates it.

# %%
larger = side * 3 // 2
interpolated = resize_positions(positions, (side, side), (larger, larger))  # (new N, D)
figure, axes = plt.subplots(2, 6, figsize=(9, 3.4), layout="tight")
strongest = positions.var(0).argsort(descending=True)[:6]
for column, which in enumerate(strongest.tolist()):
    for row, (vectors, size) in enumerate(((positions, side), (interpolated, larger))):
        show(axes[row, column], vectors[:, which].view(size, size), cmap="RdBu_r")
    axes[0, column].set_title(f"number {which}")
axes[0, 0].set_ylabel(f"{side} x {side}")
axes[1, 0].set_ylabel(f"{larger} x {larger}")
save(figure, "interpolated.png")

# %% [markdown]
# **Guess before you run:** the same weights on images of other sizes. How fast does it get worse?
# And if positions are not interpolated, but simply start in the corner and go on as far as they
# reach?


# %%
def cornered(count):
    """The same model for count x count patches whose positions are cut off or repeated."""
    grid = positions.unflatten(0, (side, side))
    places = torch.arange(count) % side
    other = ViTClassifier(replace(config, image_size=count * patch))
    weights = model.state_dict()
    first = weights["encoder.embeddings.positions"][:1]
    flat = torch.cat([first, grid[places][:, places].flatten(0, 1)])
    other.load_state_dict({**weights, "encoder.embeddings.positions": flat})
    return other


# %%
counts = range(side - 1, side * 3 // 2 + 1)
lines = {"interpolated": [], "from the corner": []}
for count in counts:
    size = count * patch
    resized = F.interpolate(held_out[:1000], (size, size), mode="bicubic", antialias=True)
    lines["interpolated"].append(accuracy(model, resized, answers[:1000]))
    lines["from the corner"].append(accuracy(cornered(count), resized, answers[:1000]))
figure, axis = plt.subplots(figsize=(5.6, 3), layout="tight")
for (name, values), color in zip(lines.items(), plots.LINES):
    axis.plot([count * patch for count in counts], values, "o-", color=color, label=name)
axis.set(xlabel="side of the image in pixels", title="accuracy, never trained at that size")
axis.set(ylim=(0, 1.03), xticks=[count * patch for count in counts])
axis.legend(frameon=False, title="positions")
save(figure, "sizes.png")

# %% [markdown]
# Interpolated positions keep their meaning: the upper left stays the upper left. Positions that
# start in the corner mark the middle as "far right". Still the accuracy falls, for another reason:
# things are larger than any in training, so each patch shows less of them. That is learned quickly.
#
# **Guess before you run:** how many steps at the new size bring it back?

# %%
size = (side + 1) * patch
tuned = copy.deepcopy(model)


def larger_batch(step):
    images, right = batch_at(step)
    return F.interpolate(images, (size, size), mode="bicubic", antialias=True), right


resized = F.interpolate(held_out[:1000], (size, size), mode="bicubic", antialias=True)
print(f"{size} pixels, before: {accuracy(tuned, resized, answers[:1000]):.3f}")
more = options.other_steps(100, quick=10)
fit(tuned, larger_batch, loss, steps=more, seed=options.seed, device=options.device)
tuned.cpu()
print(f"{size} pixels, {more} steps later: {accuracy(tuned, resized, answers[:1000]):.3f}")

# %% [markdown]
# This is how large vision transformers are made: long training on small images, where tokens are
# few and cheap, then a little at the full size (the paper, section 3.2).
#
# Your turn: `learn check embeddings.resize_positions`.

# %% [markdown]
# ## In the field's words
#
# The linear map of patches is the **patch embedding**; CLS is the **class token**. What a
# convolutional network is given and a ViT must learn (neighbouring pixels belong together; a thing
# moved is the same thing: locality and **translation equivariance**) is its **inductive bias**:
# with little data the bias wins, with much data the ViT does. Held-out combinations test
# **compositional generalisation**. Attention over all layers together: **attention rollout**. A
# linear classifier on frozen features is a **linear probe**. Training images that are memorised:
# **overfitting**.
#
# **Left out here:** Pre-training on millions of images and fine-tuning, DeiT's distillation and
# stronger augmentation (mixup, RandAugment), hierarchical and windowed transformers (Swin),
# self-supervised ones (MAE, DINO), mean pooling in place of CLS.
#
# All terms, with their files: [glossary](glossary.md). Used here, explained elsewhere: [mean
# pooling](glossary.md#m) (lesson 04), [augmentation](glossary.md#d) (18).

# %% [markdown]
# ## Three questions
#
# For pen and paper; the answers are in [answers.md](answers.md).
#
# 1. An image of 224 x 224 is cut into patches of 16. The side of the image is doubled. By what
#    factor do the tokens, the attention's cost and the feed-forward's cost grow?
#
# 2. Without positions the model told red from blue but not a star from a cross. Would it tell them
#    apart with patches as large as the image?
#
# 3. Why is a ViT trained on 24,576 images a poor argument for or against ViTs in general?

# %% [markdown]
# ## What was reached
#
# Two lines of code separate an image from a sentence: cut it, project the patches. What is above
# and what is beside was learned. Lesson 05 puts this image encoder beside a text encoder.

# %%
if world:
    report("what and where, images held out", reached, 0.96, unjudged=options.unjudged)
else:
    report("MNIST test accuracy", reached, 0.975, unjudged=options.unjudged)
