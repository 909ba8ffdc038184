"""Lesson 06, zero-shot and retrieval: what a trained CLIP can do without further training.

Question: how do text embeddings become a classifier and a search engine, and when may one believe
the numbers that come out?

Time: about half a minute on two cores, and a minute and a half more if lesson 05 has left no model
(`--quick`: about 15 s). Figures go to runs/06_zero_shot_and_retrieval/
(`--quick`: to runs/06_zero_shot_and_retrieval_quick/).
Read beside it: scratchmm/contrastive/zero_shot.py, scratchmm/contrastive/retrieval.py, then
scratchmm/metrics/recall.py.
Exercises: zero_shot.class_embeddings, zero_shot.zero_shot, recall.recall_at_k, retrieval.top_k
(`python -m scratchmm learn check recall.recall_at_k`).
Papers: Learning Transferable Visual Models From Natural Language Supervision (arXiv 2103.00020),
sections 3.1 and 3.1.4 and table 13; On Calibration of Modern Neural Networks (arXiv 1706.04599).
"""

# %% [markdown]
# # Zero-shot and retrieval
#
# Lesson 05 ended with two encoders whose embeddings can be compared. This lesson trains nothing
# more. It makes a classifier of class names, calibrates it, shows what it attends to, retrieves
# images for texts and texts for images, and measures recall without fooling itself.
#
# By the end you can say why an ensemble of prompts beats most of its members, what the temperature
# has to do with calibration, and how a model that has learned nothing can get a recall of 100 per
# cent.

# %%
from dataclasses import replace
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import torch
import torch.nn.functional as F

# %%
from scratchmm import plots
from scratchmm.contrastive.retrieval import top_k
from scratchmm.contrastive.zero_shot import class_embeddings, zero_shot
from scratchmm.data.world.captions import describe, wordings
from scratchmm.data.world.images import draw_many
from scratchmm.data.world.scenes import COLORS, combinations, sample_scene, split_combinations
from scratchmm.layers.attention import watch_attention
from scratchmm.lesson import LessonParser, report
from scratchmm.metrics.recall import recall_at_k
from scratchmm.recipes import clip as clip_recipe
from scratchmm.vision.rollout import attention_rollout

# %%
parser = LessonParser(__doc__)
parser.add_argument("--model", type=Path, default=Path("runs/05_clip"), help="a trained CLIP")
options = parser.read("")  # in a notebook, flags go here: "--quick --steps 50"
out = options.folder("06_zero_shot_and_retrieval")
rng = np.random.default_rng(options.seed + 1000)  # other scenes than lesson 05 has trained on

# %% [markdown]
# ## A trained CLIP
#
# The one that lesson 05 left behind, or else the same one, trained now.

# %%
there = (options.model / "model.pt").exists() and options.steps is None
if there:
    clip = clip_recipe.load(options.model)
else:
    recipe = replace(clip_recipe.SETTINGS, images=2048) if options.quick else clip_recipe.SETTINGS
    steps = options.training_steps(recipe.steps, quick=60)
    clip = clip_recipe.train(
        recipe, steps=steps, seed=options.seed, device=options.device, progress=True, log=print
    )
scale = clip.model.logit_scale().item()
print(f"{'from ' + str(options.model) if there else 'trained now'}, scale {scale:.1f}")

# %% [markdown]
# New images, of combinations that are in its training set (seen) and of those held out (unseen).


# %%
class Gallery:
    """Scenes with their images, a caption each, and which of all 64 class names is right."""

    def __init__(self, count, only):
        self.scenes = [sample_scene(rng, combinations=only) for _ in range(count)]
        self.images = draw_many(self.scenes)
        self.texts = [describe(scene, rng) for scene in self.scenes]
        kinds = [(scene.things[0].color, scene.things[0].shape) for scene in self.scenes]
        self.labels = torch.tensor([combinations().index(kind) for kind in kinds])
        self.vectors = clip.embed_images(self.images)


names = [" ".join(pair) for pair in combinations()]
seen, unseen = (Gallery(400 if options.quick else 1000, only) for only in split_combinations())

# %% [markdown]
# ## A classifier made of text embeddings
#
# Put each of the 64 class names into a sentence, the prompt, and take the prompts' embeddings as
# the rows of a classifier. No image is needed to make it.
#
# **Question.** Which prompt is best? The model was trained on `a red star`, `the star is red`, `a
# star in red`, `there is a red star`; never on the bare `red star`, and never on a `photo`. And
# what will the mean of five of them be worth, if two of the five name a size that is false half of
# the time?


# %%
def accuracy(gallery, templates):
    """How often the nearest class name is the right one."""
    classes = class_embeddings(clip.embed_texts, names, templates)
    return ((gallery.vectors @ classes.T).argmax(dim=1) == gallery.labels).float().mean().item()


prompts = ["{}", "a {}", "there is a {}", "this is a {}", "a small {}", "a large {}", "a plain {}"]
ensemble = ["a {}", "there is a {}", "this is a {}", "a small {}", "a large {}"]
trials = {f'"{prompt}"': [prompt] for prompt in [*prompts, "a photo of a {}"]}
trials["the five together"] = ensemble
scores = {name: (accuracy(seen, t), accuracy(unseen, t)) for name, t in trials.items()}
for name, (on_seen, on_unseen) in scores.items():
    print(f"{name:20} seen {on_seen:.3f}   unseen {on_unseen:.3f}")

# %%
figure, axis = plt.subplots(figsize=(6, 3.4), layout="constrained")
for place, (on_seen, on_unseen) in enumerate(scores.values()):
    axis.plot([on_unseen, on_seen], [place, place], color=plots.QUIET, linewidth=1, zorder=1)
    axis.scatter(on_seen, place, color=plots.LINES[0], label="seen" if not place else None)
    axis.scatter(on_unseen, place, color=plots.LINES[1], label="unseen" if not place else None)
axis.set_yticks(range(len(scores)), list(scores))
axis.set(xlabel="zero-shot accuracy among 64 names", title="the same images, other prompts")
axis.invert_yaxis()
axis.legend(frameon=False, loc="upper left", bbox_to_anchor=(1, 1))
print("figure:", plots.save(figure, out / "prompts.png"))

# %% [markdown]
# **Answer.** Prompts like the captions of the training set are best. The bare name and the `photo`,
# which were not in it, lose nearly everything: a prompt has to be worded like the captions. The
# mean of the five is about as good as the best of them, although two of them are false half of the
# time: errors that point in different directions cancel. One need not find out which is best.
#
# Why is the mean made unit length again? Prompts that disagree have a short mean, and a short
# vector would lose every comparison:

# %%
matrix = torch.stack([clip.embed_texts([t.format(name) for t in ensemble]) for name in names])
lengths = matrix.mean(dim=1).norm(dim=-1)
print(f"lengths of the 64 means: {lengths.min():.2f} to {lengths.max():.2f}")

# %% [markdown]
# ## From similarity to probability
#
# Cosines become probabilities by a softmax, and the scale decides how confident they are. The order
# of the names does not change, so neither does the accuracy. **Question.** Of all predictions with
# a probability of 0.9, how many should be right? Is the scale that training found well calibrated?

# %%
classes = class_embeddings(clip.embed_texts, names, ensemble)
for trial in (1.0, scale, 100.0):
    best = zero_shot(unseen.vectors, classes, trial).max(dim=1).values
    print(f"scale {trial:5.1f}: mean probability of the prediction {best.mean():.3f}")
print(f"accuracy: {accuracy(unseen, ensemble):.3f}")


# %%
def miscalibration(gallery, scale, bins=10):
    """Mean distance between confidence and accuracy, over bins of confidence."""
    sure, guess = zero_shot(gallery.vectors, classes, scale).max(dim=1)
    right = (guess == gallery.labels).float()
    total = 0.0
    for part in ((sure * bins).long().clamp(max=bins - 1) == b for b in range(bins)):
        if part.any():
            total += part.float().mean().item() * abs(sure[part].mean() - right[part].mean()).item()
    return total


# %% [markdown]
# A scale can be chosen afterwards, on labelled images: the one with the smallest log loss (that is
# temperature scaling). We choose on seen combinations, and test on unseen ones.

# %%
grid = torch.logspace(0, 2.3, 60).tolist()
log_loss = [F.cross_entropy(s * seen.vectors @ classes.T, seen.labels).item() for s in grid]
chosen = grid[int(np.argmin(log_loss))]
errors = {}
for which, gallery in (("seen", seen), ("unseen", unseen)):
    errors[which] = [miscalibration(gallery, trial) for trial in grid]
    for word, trial in (("learned", scale), ("chosen", chosen)):
        print(f"{which:6} {word} scale {trial:5.1f}: off by {miscalibration(gallery, trial):.3f}")

# %%
figure, axis = plt.subplots(figsize=(6, 3), layout="constrained")
for which, color in zip(errors, plots.LINES):
    axis.plot(grid, errors[which], color=color, label=which)
for word, trial in (("learned", scale), ("chosen", chosen)):
    axis.axvline(trial, color=plots.QUIET, linestyle="--" if word == "learned" else ":", label=word)
axis.set(
    xscale="log", xlabel="scale", ylabel="calibration error", title="calibration of each scale"
)
axis.legend(frameon=False)
print("figure:", plots.save(figure, out / "calibration.png"))

# %% [markdown]
# **Answer.** 9 in 10, if they are calibrated. The learned scale was found for another task (one
# caption among 128, many of them paraphrases), and on seen combinations it is a little
# underconfident. The scale that was chosen there is better there, and overconfident on unseen
# combinations: what is new is harder, and the cosines do not show it.
# ## What does it attend to?
#
# **Question.** The thing fills a tenth of the image. Which patches will CLS attend to: the thing,
# its edges, or the empty corners?

# %%
first = {int(label): place for place, label in reversed(list(enumerate(unseen.labels)))}
eight = sorted(first.values())[:8]
with watch_attention() as layers:
    clip.model.vision.tokens(clip.prepare(unseen.images[eight]))
maps = attention_rollout(layers)[:, 0, 1:]  # (B, N), how much of each patch reaches CLS
titles = [names[unseen.labels[place]] for place in eight]
path = plots.attention_overlay(unseen.images[eight], maps, out / "attention.png", titles=titles)
print("figure:", path)

# %% [markdown]
# **Answer.** The thing, and where it is large, its edges: an edge is what tells a ring from a
# circle.
# ## Retrieval by text, and by image
#
# The same embeddings do retrieval both ways: which of these images fits the caption, and which
# of these captions fits the image? A caption is right if it is *true* of the image.

# %%
count = 500 if not options.quick else 200
images, texts = unseen.vectors[:count], clip.embed_texts(unseen.texts[:count])
similarity = images @ texts.T  # (images, captions)
true = [set(wordings(scene)) for scene in unseen.scenes[:count]]
relevant = torch.tensor([[text in said for text in unseen.texts[:count]] for said in true])
print(f"a caption is true of {relevant.float().sum(dim=0).mean():.1f} of {count} images")
six = eight[:6]


# %%
def sheet(queries, answers, similarity, relevant, path):
    """Six queries and their five nearest results, framed by whether they are right."""
    found = similarity[six].topk(5, dim=1).indices
    shown = [[answers[j] for j in row] for row in found]
    right = [[bool(relevant[i, j]) for j in row] for i, row in zip(six, found, strict=True)]
    print("figure:", plots.retrieval_sheet([queries[i] for i in six], shown, right, path))


asked, shown = unseen.texts[:count], list(unseen.images[:count])
six = [place for place in six if place < count]
sheet(asked, shown, similarity.T, relevant.T, out / "images_for_captions.png")
sheet(shown, asked, similarity, relevant, out / "captions_for_images.png")

# %% [markdown]
# ## Recall at k
#
# Recall@k: for how many queries is a right result among the first k? It looks like one line of
# code. Here is that line: the rank is one plus the number of results that are more similar than the
# query's own pair.
#
# **Question.** What does it give for a model whose similarities are all equal?


# %%
def one_line(similarity, k):
    return ((similarity > similarity.diagonal()[:, None]).sum(dim=1) < k).float().mean().item()


all_equal = torch.zeros(count, count)
broken = torch.full((count, count), torch.nan)
for which, matrix in (("trained", similarity), ("all alike", all_equal), ("nan", broken)):
    print(f"{which:10} one line: {one_line(matrix, 1):.3f}", end="   ")
    try:
        print(f"recall_at_k: {recall_at_k(matrix, 1):.3f}")
    except ValueError as refused:
        print(f"recall_at_k: {refused}")

# %% [markdown]
# **Answer.** 100 per cent: nothing is *more similar* than the own pair. A collapsed model, whose
# embeddings have all become one, looks perfect, and so does one whose similarities are nan.
# `recall_at_k` counts ties against the model, and refuses nan. That is the first trap.
#
# **Question.** Here is the second. The sheets above look good, with a true caption first most of
# the time. Why is the recall of the trained model so low? Only 12 combinations are in this gallery.

# %%
table = {}
for k in (1, 5, 10):
    table[k] = [
        recall_at_k(similarity, k),
        recall_at_k(similarity.T, k),
        recall_at_k(similarity, k, relevant),
        recall_at_k(similarity.T, k, relevant.T),
    ]
print("            only its own pair counts      any true caption counts")
print("            caption      image          caption      image")
for k, row in table.items():
    print(f"recall@{k:<4}", *(f"{value:10.3f}  " for value in row))

# %% [markdown]
# **Answer.** A caption belongs to one image and is true of dozens. Counting only its own pair
# counts true results as wrong: near-duplicates in a gallery make the best of models look bad.
# Define what is relevant before you count.
# ## Search in a gallery too large for one matrix
#
# 200 queries against 100,000 images are 20 million similarities, 80 megabytes, to find 1,000
# results. `top_k` goes through the gallery in blocks, and the best so far compete with each block.
# **Question.** Can a result get lost on the way, one that would be in the first five of all?

# %%
generator = torch.Generator().manual_seed(options.seed)
size = 5_000 if options.quick else 100_000
large = F.normalize(torch.randn(size, 64, generator=generator), dim=1)
queries = F.normalize(torch.randn(200, 64, generator=generator), dim=1)
whole = (queries @ large.T).topk(5, dim=1)
for block in (100, 4096, size):
    found = top_k(queries, large, 5, block=block)
    same = (found.indices == whole.indices).float().mean().item()
    held = 200 * (min(block, size) + 5) * 4 / 1e6
    print(
        f"block {block:6}: {same:.1%} of the results alike, {held:6.1f} MB of similarities at once"
    )

# %% [markdown]
# **Answer.** No. A result that is dropped was beaten by five others, and those can only be beaten
# by better ones. The search is exact, whatever the block.
# ## A query of an image and a word
#
# Embeddings can be added. Take the embedding of an image of a red thing, subtract that of `red` and
# add that of `blue`: is the nearest image the same shape in blue? **Question.** What would be found
# without the words?

# %%
said = ["a {} circle", "a {} square", "a {} star", "a {} ring"]
by_color = dict(zip(COLORS, class_embeddings(clip.embed_texts, COLORS, said)))
everything = Gallery(400 if options.quick else 1500, combinations())
starts = range(200)
old = [names[label].split() for label in everything.labels[:200]]
new = [COLORS[(COLORS.index(color) + 1 + i % 7) % 8] for i, (color, _) in enumerate(old)]
change = torch.stack([by_color[n] - by_color[color] for n, (color, _) in zip(new, old)])
wanted = torch.tensor([names.index(f"{n} {shape}") for n, (_, shape) in zip(new, old)])


# %%
def composed(strength):
    """How often the nearest image has the wanted colour and the query's shape."""
    asked = F.normalize(everything.vectors[:200] + strength * change, dim=1)
    found = top_k(asked, everything.vectors, 1).indices[:, 0]
    return (everything.labels[found] == wanted).float().mean().item(), asked


for strength in (0.0, 0.5, 1.0, 1.5, 2.0):
    print(f"change times {strength}: {composed(strength)[0]:.3f}")

# %%
asked = composed(1.0)[1]
found = top_k(asked[:4], everything.vectors, 5).indices
shown, titles = [], []
for query, row in enumerate(found.tolist()):
    shown += [query, *row]
    titles.append(f"{old[query][0]} to {new[query]}:")
    titles += ["right" if everything.labels[j] == wanted[query] else "wrong" for j in row]
path = plots.image_grid(everything.images[shown], titles, out / "composed.png", columns=6)
print("figure:", path)

# %% [markdown]
# **Answer.** Without the words the nearest image is the query itself. With them the nearest image
# is nearly always right: colour has become a direction of the space, which texts and images share
# and along which a shape can be moved. No loss asked for that. (Half of the change is too little,
# twice of it too much.)

# %% [markdown]
# ## In the field's words
#
# The classifier made of prompts is a **zero-shot classifier**, several prompts are a **prompt
# ensemble**. A scale chosen afterwards is **temperature scaling**; whether 0.9 means nine in ten is
# **calibration**, and its mean gap the **expected calibration error** (ECE). Held-out combinations
# are a **distribution shift**. A model whose embeddings are all equal has undergone
# **representation collapse**. Relevant results among the first k: **recall@k**; search that is
# exact is **brute-force nearest-neighbour search**. Adding and subtracting directions is
# **embedding arithmetic**.
#
# **Left out here:** Approximate indices (inverted lists, HNSW, product quantisation), mean average
# precision and nDCG, re-ranking by a cross-encoder, learned prompts (CoOp), and few-shot adapters.
#
# All terms, with their files: [glossary](glossary.md). Used here, explained elsewhere:
# [ensemble](glossary.md#e) (lesson 07).

# %% [markdown]
# ## Three questions
#
# For pen and paper; the answers are in [answers.md](answers.md).
#
# 1. A classifier is right 80 times in 100 and predicts 0.95 each time. Is it over- or
#    underconfident, and does dividing its logits by 2 change its accuracy?
#
# 2. Recall@5 is 1.0 in a gallery of 5 images. What have you learned?
#
# 3. Why is the mean of the prompts' embeddings normalised once more before it is used as a class?

# %% [markdown]
# ## What was reached
#
# Next: `python -m scratchmm learn list`, and then your own images: `python -m scratchmm tour
# --pairs PAIRS.tsv`.

# %%
report("unseen accuracy", accuracy(unseen, ensemble), 0.85, unjudged=options.unjudged)
both = min(recall_at_k(similarity, 5, relevant), recall_at_k(similarity.T, 5, relevant.T))
report("recall@5 on unseen, the worse direction", both, 0.85, unjudged=options.unjudged)
