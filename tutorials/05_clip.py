"""Lesson 05, CLIP: an image encoder and a text encoder with one embedding space.

Question: how does a model learn what "purple" and "star" mean from images and captions alone, with
no label anywhere, and then classify a purple star, which was held out of its training?

Time: about 2 minutes on two cores (`--quick`: about 15 s). Figures go to runs/05_clip/
(`--quick`: to runs/05_clip_quick/; with another `--data` its name is in between).
Data: the generated world; `--data fashion_mnist` (about 3 minutes), `--data emoji`, or your own
`--data PAIRS.tsv` (columns file and text) train the same code on real images (`--root DIR`, or
SCRATCHMM_DATA, says where the sets are).
Read beside it: scratchmm/contrastive/loss.py, scratchmm/contrastive/clip.py, then
scratchmm/recipes/clip.py.
Exercises: loss.contrastive_loss, test.contrastive_loss, two_tower.LogitScale, two_tower.TwoTower
(`python -m scratchmm learn check loss.contrastive_loss`).
Papers: Learning Transferable Visual Models From Natural Language Supervision (arXiv 2103.00020),
figure 3; Representation Learning with Contrastive Predictive Coding (arXiv 1807.03748), equation 4.
"""

# %% [markdown]
# # CLIP: an image encoder and a text encoder with one embedding space
#
# A classifier needs a label for each image: this is class 7. Nobody wrote such numbers under the
# images of the world, but people write *captions* under them all the time. CLIP learns from those:
# of all the captions in a batch, which one belongs to this image? To predict that, its embeddings
# have to hold what the words mean. (This is contrastive learning; the loss below is called
# InfoNCE.)
#
# By the end you can compute its loss by hand, say why it begins at log B and what keeps it from
# reaching 0, why the temperature is learned as a logarithm, and why a purple star is classified
# rightly by a model that was trained without one.

# %%
import math
from dataclasses import replace

import matplotlib.pyplot as plt
import torch
import torch.nn.functional as F

# %%
from scratchmm import plots
from scratchmm.contrastive.loss import contrastive_loss
from scratchmm.contrastive.retrieval import top_k
from scratchmm.contrastive.two_tower import LogitScale
from scratchmm.contrastive.zero_shot import class_embeddings, zero_shot
from scratchmm.data.world.scenes import split_combinations
from scratchmm.language.text_transformer import pool_at_end
from scratchmm.lesson import LessonParser, report
from scratchmm.metrics.recall import recall_at_k
from scratchmm.recipes import clip as clip_recipe
from scratchmm.recipes.datasets import check_name
from scratchmm.training.fit import fit

# %%
parser = LessonParser(__doc__)
parser.add_argument("--data", default="world", help="world, fashion_mnist, emoji or PAIRS.tsv")
parser.add_argument("--root", help="folder with the real sets (or SCRATCHMM_DATA)")
options = parser.read("")  # in a notebook, flags go here: "--quick --steps 50"
check_name(options.data)
name = options.data if options.data in clip_recipe.SETTINGS_OF else "pairs"
out = options.folder("05_clip" + f"_{name}" * (name != "world"))

# %% [markdown]
# ## Images and captions, nothing else
#
# Each image comes with one caption. Whole combinations of colour and shape are held out: no image
# and no caption of the training set has a purple star in it.

# %%
recipe = replace(clip_recipe.SETTINGS_OF[name], data=options.data)
if options.quick:
    recipe = replace(recipe, images=2048)
data = clip_recipe.data(recipe, root=options.root, seed=options.seed)
data = data.first(2048) if options.quick else data
images = data.images.expand(-1, 3, -1, -1)  # (B, 3, H, W), grey becomes three equal channels
print(f"{name}: {len(images):,} images, {len(set(data.texts)):,} different captions")
print("figure:", plots.image_grid(images[:16], data.texts[:16], out / "pairs.png"))

# %% [markdown]
# ## The loss on a 4x4 example
#
# Both encoders map their input to a vector of length 1. Here are four pairs in the plane: the
# angles of four image embeddings, and of their captions. Three pairs point nearly the same way.
# Caption 3 has gone astray: its image is at 260 degrees, and it is at 30, between images 0 and 1.


# %%
def direction(degrees):
    """Unit vectors in the plane, (B, 2)."""
    angle = torch.tensor(degrees, dtype=torch.float32).deg2rad()
    return torch.stack([angle.cos(), angle.sin()], dim=1)


image, text = direction([0, 80, 170, 260]), direction([10, 60, 185, 30])
cosine = image @ text.T  # (B, B): a row an image, a column a caption
logits = 5.0 * cosine

# %% [markdown]
# The same matrix holds two classifications. Each **row**: which caption belongs to this image? Each
# **column**: which image belongs to this caption? Each is a softmax.
#
# **Question.** Caption 3 is misplaced. Which row has the largest loss, and which column? Is the
# damage the same on both sides?

# %%
to_texts, to_images = logits.softmax(dim=1), logits.softmax(dim=0)
panels = {"cosine": cosine, "rows: which caption?": to_texts, "columns: which image?": to_images}
figure, axes = plt.subplots(1, 3, figsize=(9, 3.2), layout="constrained")
for axis, (title, matrix) in zip(axes, panels.items(), strict=True):
    low = -1 if title == "cosine" else 0
    axis.imshow(matrix, vmin=low, vmax=1, cmap="Blues")
    for (i, j), value in zip(torch.cartesian_prod(*[torch.arange(4)] * 2), matrix.flatten()):
        color = "white" if value > low + 0.6 * (1 - low) else plots.INK
        axis.text(j, i, f"{value:.2f}", ha="center", va="center", color=color)
    axis.set(title=title, xlabel="caption", ylabel="image", xticks=range(4), yticks=range(4))
print("figure:", plots.save(figure, out / "toy.png"))

# %% [markdown]
# The targets are on the diagonal. The loss is -log of their probability: the mean over the rows,
# the mean over the columns, and the mean of the two.

# %%
row_loss = -to_texts.diagonal().log()
column_loss = -to_images.diagonal().log()
by_hand = (row_loss.mean() + column_loss.mean()) / 2
print("each image: ", [f"{x:.2f}" for x in row_loss.tolist()])
print("each caption:", [f"{x:.2f}" for x in column_loss.tolist()])
print(f"by hand {by_hand:.4f}, contrastive_loss {contrastive_loss(image, text, 5.0):.4f}")

# %% [markdown]
# **Answer.** Row 3 and column 3 have the largest loss: image 3 is nearest to caption 2, and caption
# 3 to images 0 and 1. But the loss of rows 0 and 1 grows too, for the stray caption competes there,
# while columns 0 and 1 do not change at all: they are the softmax for captions 0 and 1, and caption
# 3 is not in them. The two sides are not the same: one side alone is another loss.
#
# **Question.** Before training, every image is as similar to every caption. What is the loss of 4
# pairs that are all alike? Of 128? Does the scale matter? And what is it when every positive pair
# is perfect, and all negatives are orthogonal?

# %%
alike = torch.ones(4, 1)
for scale in (1.0, 5.0, 50.0):
    perfect = contrastive_loss(torch.eye(4), torch.eye(4), scale)
    print(f"scale {scale:4}: all alike {contrastive_loss(alike, alike, scale):.3f}, ", end="")
    print(f"perfect {perfect:.2g}, by formula {math.log1p(3 * math.exp(-scale)):.2g}")
print(f"log 4 = {math.log(4):.3f}, log 128 = {math.log(128):.3f}")

# %% [markdown]
# **Answer.** log B, whatever the scale: B classes, all equally likely. A curve that stays at log B
# is a model that has learned nothing. Perfect pairs give log(1 + (B - 1) exp(-scale)): at scale 1
# even a perfect model has a loss of 0.74. So the scale has to grow.
# ## What a test of the loss must catch
#
# Wrong losses go down as well, and train something. Four properties against three mistakes.
# **Question.** Which property catches which mistake? Is there one that catches none?


# %%
def one_sided(image, text, scale):
    return F.cross_entropy(scale * image @ text.T, torch.arange(len(image)))


def both_added(image, text, scale):
    return one_sided(image, text, scale) + one_sided(text, image, scale)


def scale_forgotten(image, text, scale):
    return contrastive_loss(image, text, 1.0)


# %%
properties = {
    "a finite scalar": lambda f: f(image, text, 5.0).isfinite().tolist() is True,
    "log B when alike": lambda f: abs(f(alike, alike, 5.0) - math.log(4)) < 1e-4,
    "sides exchanged": lambda f: abs(f(image, text, 5.0) - f(text, image, 5.0)) < 1e-4,
    "equal by hand": lambda f: abs(f(image, text, 5.0) - by_hand) < 1e-4,
}
print(" " * 18 + "  ".join(properties))
for candidate in (contrastive_loss, one_sided, both_added, scale_forgotten):
    verdicts = [("holds" if holds(candidate) else "FAILS") for holds in properties.values()]
    print(f"{candidate.__name__:17}", *(v.ljust(len(p) + 1) for v, p in zip(verdicts, properties)))

# %% [markdown]
# **Answer.** The first catches none of them, and most tests that people write are of that kind.
# Each of the next two catches one. A number computed by hand, from vectors that are not symmetric,
# catches all three. (The exercise `test.contrastive_loss` has two dozen mistakes waiting for your
# test.)
#
# ## The temperature
#
# Cosines lie between -1 and 1, too close together for a softmax over 128 classes: they are
# multiplied by a scale, 1 / temperature, and CLIP learns it. As a logarithm, so that a step changes
# it by per cent; and limited to 100: the authors found that a larger one makes training unstable.
#
# **Question.** The plain way to limit it is `clamp`. What is the gradient of clamp above the limit,
# and what becomes of a scale that has overshot?

# %%
log_scale = torch.linspace(2, 7, 201)
logit_scale, ours, gradient = LogitScale(), [], []
for value in log_scale:
    logit_scale.log_scale.data.fill_(value)
    ours.append(logit_scale())
    gradient.append(torch.autograd.grad(ours[-1], logit_scale.log_scale)[0])
clamped = log_scale.clone().requires_grad_()
dead = torch.autograd.grad(clamped.clamp(max=math.log(100)).exp().sum(), clamped)[0]

# %%
figure, axes = plt.subplots(1, 2, figsize=(8, 2.8), layout="constrained")
axes[0].plot(log_scale, torch.stack(ours).detach(), color=plots.LINES[0])
axes[0].set(xlabel="log_scale", ylabel="scale", title="the scale, limited to 100")
axes[1].plot(log_scale, torch.stack(gradient), color=plots.LINES[0], label="LogitScale")
axes[1].plot(log_scale, dead, color=plots.LINES[1], linestyle="--", label="plain clamp")
axes[1].set(xlabel="log_scale", ylabel="gradient", title="its gradient")
axes[1].legend(frameon=False)
print("figure:", plots.save(figure, out / "temperature_limit.png"))

# %% [markdown]
# **Answer.** Zero: a clamped scale that has overshot gets no gradient ever again. `LogitScale`
# subtracts the excess as a constant, so the value is limited and the gradient still points back.
#
# ## Two towers
#
# A ViT encodes the image (lesson 03), a causal transformer encodes the caption (lesson 04). A
# linear projection brings each to the width they share, and only the direction is kept.
# **Question.** Which token of the image is pooled, and which one of the caption? Why not the same?

# %%
clip = clip_recipe.build(recipe, data, seed=options.seed)
model, tokens = clip.model, clip.tokens(data.texts[:4])
hidden = model.vision.tokens(clip.prepare(images[:4]))
print("image encoder:", tuple(hidden.shape), "-> CLS, the first:", tuple(hidden[:, 0].shape))
hidden = model.text(tokens)
pooled = pool_at_end(hidden, tokens, clip.tokenizer.end)
print("text encoder: ", tuple(hidden.shape), "-> the end token:", tuple(pooled.shape))
shared = F.normalize(model.two_tower.projections["text"](pooled), dim=-1)
print(
    "shared space: ",
    tuple(shared.shape),
    "of length",
    [round(x, 3) for x in shared.norm(dim=-1).tolist()],
)
print(f"{sum(p.numel() for p in model.parameters()):,} parameters in all")

# %% [markdown]
# **Answer.** CLS may attend to all patches, wherever it stands: it comes first by convention. In
# the caption a token attends only to those before it, so only the last one attends to everything.
#
# Before training: some images that were held out, against their class names. **Question.** Will the
# matrix be dark, bright or noisy?

# %%
tested = list(data.tests.values())[-1]  # what was held out; in the world: whole combinations
labels = tested.labels.tolist()
twelve = [labels.index(label) for label in dict.fromkeys(labels)][:12]
twelve_names = [tested.names[labels[place]] for place in twelve]


def draw_similarity(when):
    vectors = clip.embed_images(tested.images[twelve].expand(-1, 3, -1, -1))
    matrix = vectors @ class_embeddings(clip.embed_texts, twelve_names, tested.prompts).T
    options = {"heading": f"cosine, {when} training", "labels": ("image of", "name")}
    path = out / f"similarity_{when}.png"
    print("figure:", plots.similarity_matrix(matrix, twelve_names, twelve_names, path, **options))
    return matrix


before = draw_similarity("before")

# %% [markdown]
# **Answer.** All rows alike: the untrained encoders map everything to almost the same vectors. That
# is where the loss of log B comes from.
#
# ## Train it
#
# This is all of CLIP's training: two encoders, one loss. We record the scale of each step.

# %%
recipe = replace(recipe, steps=options.training_steps(recipe.steps, quick=60))
print(recipe)
batches = clip_recipe.batches(recipe, clip, data, seed=options.seed)
scales = []


def loss(model, batch):
    output = model(*batch[:2])
    scales.append(output.scale.item())
    return contrastive_loss(output.image_embeddings, output.text_embeddings, output.scale)


# %%
curve = fit(
    model,
    batches,
    loss,
    steps=recipe.steps,
    learning_rate=recipe.learning_rate,
    weight_decay=recipe.weight_decay,
    progress=True,
    seed=options.seed,
    device=options.device,
)
model.cpu()  # all that follows is computed there
clip_recipe.save(clip, out, recipe, seed=options.seed)  # lesson 06 goes on with it

# %% [markdown]
# ## The loss curve
#
# **Question.** It starts at log B. Why does it not end at 0? Look at what stands in one batch: when
# two images have the *same* caption, can any model tell which of the two it belongs to?

# %%
sample = batches(0)[1]  # the tokens of one batch (B, T)
same = (sample[:, None] == sample[None, :]).all(dim=-1)  # (B, B)
floor = same.sum(dim=1).float().log().mean().item()
start = math.log(len(sample))
print(f"log B = {start:.2f}, the best possible with captions that repeat: about {floor:.2f}")
print(f"first step {curve[0]['loss']:.2f}, last steps {curve[-1]['loss']:.2f}")

# %%
figure, axes = plt.subplots(1, 2, figsize=(9, 3), layout="constrained")
axes[0].plot([row["loss"] for row in curve], color=plots.LINES[0], linewidth=1)
for height, words in ((start, "log B: chance"), (floor, "repeated captions alone")):
    axes[0].axhline(height, color=plots.WRONG, linestyle="--", linewidth=1)
    axes[0].text(len(curve), height + 0.05, words, color=plots.WRONG, ha="right", va="bottom")
axes[0].set(xlabel="step", ylabel="loss", title="contrastive loss", ylim=(0, start + 0.6))
axes[1].plot(scales, color=plots.LINES[1])
axes[1].set(xlabel="step", ylabel="scale = 1 / temperature", title="the scale that it learned")
print("figure:", plots.save(figure, out / "training.png"))

# %% [markdown]
# **Answer.** Images with the same caption cannot be told apart: with n of them the best probability
# is 1 / n, which costs log n. In the world there are also paraphrases, for `a red star` is true of
# an image whose own caption is `a star in red`. Ten kinds of clothes are worse: a batch of 128 has
# about 13 of each, so log 12.8 = 2.55 is about the lowest loss there is. Such pairs are false
# negatives, and every CLIP trained on captions from the web lives with them.
#
# Did you see the bend? In the world the loss falls to about 2.8 within a hundred steps and then
# goes slowly. log(128 / 8) = 2.77: it has learned the eight colours, and among the sixteen images
# of one colour it is still at chance. All that comes after is learning shapes.
#
# The scale stays low while most predictions are wrong, for confident mistakes cost most; then it
# grows, as more confidence pays.

# %%
after = draw_similarity("after")

# %% [markdown]
# ## Zero-shot classification
#
# The classes are sentences now. **Question.** In the world there are 64 class names, and 12 of
# them were held out of training. Will it predict `purple star`, or the nearest class of the
# training set?


# %%
def accuracy(part):
    """How often the most probable of all class names is the right one."""
    classes = class_embeddings(clip.embed_texts, part.names, part.prompts)
    vectors = clip.embed_images(part.images.expand(-1, 3, -1, -1))
    probabilities = zero_shot(vectors, classes, model.logit_scale().detach())
    return (probabilities.argmax(dim=-1) == part.labels).float().mean().item()


reached = {which: accuracy(part) for which, part in data.tests.items()}
reached["chance"] = 1 / len(tested.names)
print({which: round(value, 3) for which, value in reached.items()})
path = out / "zero_shot.png"
print("figure:", plots.bars(reached, path, heading="zero-shot accuracy", label="share right"))

# %% [markdown]
# Now as retrieval: which captions are nearest to an image of a held-out combination? In the world
# each combination gets six captions, of two sizes and three textures.

# %%
prompts = tested.prompts
if name == "world":
    sizes, textures = ("small", "large"), ("plain", "striped", "dotted")
    prompts = [f"a {size} {texture} {{}}" for size in sizes for texture in textures]
captions = [prompt.format(label) for label in tested.names for prompt in prompts]
owners = [label for label in tested.names for _ in prompts]
found = top_k(
    clip.embed_images(tested.images[twelve[:6]].expand(-1, 3, -1, -1)),
    clip.embed_texts(captions),
    k=min(4, len(captions)),
)
right = [[owners[j] == twelve_names[i] for j in row] for i, row in enumerate(found.indices)]
answers = [[captions[j] for j in row] for row in found.indices]
asked = [tested.images[place].expand(3, -1, -1) for place in twelve[:6]]
print("figure:", plots.retrieval_sheet(asked, answers, right, out / "nearest_captions.png"))

# %% [markdown]
# **Answer.** It predicts `purple star`. Colour and shape are encoded each by itself, learned from
# many other combinations, and the text encoder combines the two words as the image encoder combines
# the two attributes. That is what held-out combinations measure: compositional generalisation
# (lesson 03).
#
# **Question.** Where it fails on held-out combinations, is it the colour or the shape? Think of
# what a patch of 8x8 pixels shows of each.

# %%
if name == "world":
    classes = class_embeddings(clip.embed_texts, tested.names, tested.prompts)
    guesses = (clip.embed_images(tested.images) @ classes.T).argmax(dim=-1)
    pairs = [(tested.names[g].split(), tested.names[k].split()) for g, k in zip(guesses, labels)]
    for place, what in enumerate(("colour", "shape")):
        share = sum(guess[place] == truth[place] for guess, truth in pairs) / len(pairs)
        print(f"{what} right on held-out combinations: {share:.3f}")
    print("held out:", ", ".join(" ".join(pair) for pair in split_combinations()[1]))

# %% [markdown]
# **Answer.** The shape. One patch is enough for a colour; a shape is a matter of many patches and
# of where each of them is.

# %% [markdown]
# ## In the field's words
#
# The loss is **InfoNCE** (a symmetric one, over images and texts): the cross-entropy of finding the
# other half of a **positive pair** among **in-batch negatives**; it bounds the **mutual
# information** of image and text from below, by at most log B, one reason for large batches (CLIP
# took 32,768). Images with the same caption, and captions that are true of another image, are
# **false negatives**; negatives that are nearly right are **hard negatives**. The two encoders are
# **towers** (a dual encoder), the space they share is the **joint embedding space**, in which
# images and texts lie in two separate cones: the **modality gap**. The learned scale is the inverse
# **temperature**. Classifying by class names, without training examples of the classes, is
# **zero-shot classification**.
#
# **Left out here:** Batches beyond one device (gathered embeddings), the sigmoid loss (SigLIP),
# frozen image encoders (LiT), linear probes on the image encoder, and what CLIP is bad at:
# counting, negation, who does what to whom, and the biases of captions from the web.
#
# All terms, with their files: [glossary](glossary.md).

# %% [markdown]
# ## Three questions
#
# For pen and paper; the answers are in [answers.md](answers.md).
#
# 1. Two images of a batch of 64 have the same caption. What is the smallest loss that these two
#    rows can reach, and what does that do to the gradient of the others?
#
# 2. The loss of a batch of 256 is 5.5 after a thousand steps. What has the model learned?
#
# 3. Why does a larger batch make the task harder, and why is that wanted?

# %% [markdown]
# ## What was reached
#
# Go on with the exercises of this lesson: `python -m scratchmm learn list`. Lesson 06 uses this
# model for classification and retrieval.

# %%
if name == "world":
    report("zero-shot, seen combinations", reached["seen"], 0.97, unjudged=options.unjudged)
    report("zero-shot, unseen combinations", reached["unseen"], 0.85, unjudged=options.unjudged)
elif name == "fashion_mnist":
    report("zero-shot on the test part", reached["test"], 0.85, unjudged=options.unjudged)
elif name == "mnist":
    report("zero-shot on the test part", reached["test"], 0.95, unjudged=options.unjudged)
else:
    names = clip.embed_texts(tested.names)
    similarity = clip.embed_images(tested.images) @ names.T  # (B, K)
    relevant = tested.labels[:, None] == torch.arange(len(names))
    chance = min(10 / len(names), 1.0)
    print(f"chance: {chance:.3f}")
    at_ten = recall_at_k(similarity, 10, relevant)
    report("the right text among the first 10", at_ten, chance, unjudged=options.unjudged)
