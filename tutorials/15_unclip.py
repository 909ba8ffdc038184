"""Lesson 15, unCLIP: from the embedding of an image back to images.

Question: CLIP encodes an image as a few numbers. What of the image is in them, can it be generated
again from them, and can they be predicted from a sentence?

Time: about 1 minute on two cores where all models are there; the CLIP, the prior and the decoder
train for 2 to 3 minutes on the first run, the generator and the attribute classifier of lesson 12
for 9 more where they are missing (`--quick`: about 20 s). The models are kept in runs/unclip/,
runs/generator/ and runs/judge/ (lesson 05's CLIP is taken if it is there); images go to
runs/15_unclip/ (`--quick`: all of these names end in _quick).
Read beside it: scratchmm/diffusion/unclip.py, then scratchmm/diffusion/prior.py.
Exercises: interpolation.slerp, prior.closest (`python -m scratchmm learn check interpolation.slerp`).
Paper: Hierarchical Text-Conditional Image Generation with CLIP Latents (arXiv 2204.06125).
"""

# %% [markdown]
# # unCLIP
#
# Lesson 05 trained CLIP to map an image and its sentence to nearby vectors: **embeddings** of unit
# length. This lesson inverts that. A **decoder** generates images from an embedding. A **prior**
# predicts, from a sentence, the embedding that an image of it would have. One after the other they
# turn words into images; and as an image now has two halves, its CLIP embedding and the noise it
# was generated from, each half can be changed without the other.
#
# By the end you can say what an embedding keeps and what it loses, interpolate from one image to
# another without leaving the sphere, and say what a prior is for.

# %%
import textwrap
from dataclasses import replace
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import torch
import torch.nn.functional as F

# %%
from scratchmm import plots
from scratchmm.apps.image_studio.models import cache_folder
from scratchmm.data.world.captioned import captioned
from scratchmm.data.world.captions import article
from scratchmm.data.world.images import draw_many
from scratchmm.data.world.scenes import COLORS, PROPERTIES, sample_scene, split_combinations
from scratchmm.diffusion import unclip
from scratchmm.diffusion.interpolation import arc
from scratchmm.lesson import LessonParser, report, show_curve
from scratchmm.recipes import attribute_classifier, text_to_image
from scratchmm.recipes import clip as clip_recipe
from scratchmm.recipes import unclip as unclip_recipe
from scratchmm.recipes.artifact import load_or_train
from scratchmm.recipes.attribute_classifier import accuracy

# %%
parser = LessonParser(__doc__, devices=False)
options = parser.read("")  # in a notebook, flags go here: "--quick --steps 50"
quick = "_quick" * options.quick
out = options.folder("15_unclip")

# %% [markdown]
# The decoder does not work in pixels but in the latents of lesson 13's autoencoder, a grid of 4 x
# 4: of the generator nothing else is used here. All three models are trained on images of one
# thing, in the 52 combinations of colour and shape that are not held out.

# %%
settings = text_to_image.SETTINGS
if options.quick:
    settings = replace(settings, scenes=400, autoencoder_steps=20, text_steps=20, steps=20)
generator = load_or_train(
    Path("runs/generator" + quick), text_to_image, settings, others=[cache_folder()],
    progress=True, log=print,
)  # fmt: skip
judging = {"steps": 20} if options.quick else {}
judge = load_or_train(
    Path("runs/judge" + quick), attribute_classifier, progress=True, log=print, **judging
)
space = generator.model.space
settings = unclip_recipe.SETTINGS
if options.quick:
    few = replace(clip_recipe.SETTINGS, images=400, steps=10)
    settings = replace(settings, scenes=400, clip=few, prior_steps=5, steps=10)
settings = replace(settings, **options.steps_given())
print(settings)
clips = [Path("runs/clip" + quick), Path("runs/05_clip"), Path("runs/tour")]
folder = options.place("runs/unclip")
model = unclip_recipe.load_or_train(folder, space, settings, clips=clips, progress=True, log=print)
for stage in ("prior", "."):
    show_curve(folder / stage, out / f"training_{'decoder' if stage == '.' else stage}.png")
for name in ("prior", "decoder"):
    count = sum(parameter.numel() for parameter in getattr(model, name).parameters())
    print(f"the {name} has {count:,} parameters")

# %%
torch.set_grad_enabled(False)  # all is trained
seen, unseen = split_combinations()
count = 16 if options.quick else 104
data = captioned(count, seen, seed=5000 + options.seed)  # no scene of the training set
images = draw_many(data.scenes)
embeddings = model.clip.embed_images(images)  # (B, E)
trusted = accuracy(judge, data.scenes, images)
chance = torch.Generator().manual_seed(options.seed)  # else it would depend on what trained before
squeezed = space.to_images(space.to_latents(images, chance))

# %%
print("an embedding has", embeddings.shape[1], "numbers, an image", images[0].numel())
for name, of in (("real images", images), ("autoencoded ones", squeezed)):
    found = accuracy(judge, data.scenes, of)
    print(f"the classifier on {name}:", {key: round(share, 3) for key, share in found.items()})


# %%
def sheet(rows, titles, path):
    """Images in rows, the name of each row beside it and the titles on top."""
    shape = len(rows), max(len(images) for images in rows.values())
    size = (1.05 * shape[1] + 1.3, 1.08 * shape[0] + 0.35)
    figure, axes = plt.subplots(*shape, figsize=size, layout="constrained", squeeze=False)
    for line, (name, images) in zip(axes, rows.items()):
        for axis, image in zip(line, images):
            axis.imshow((image.clamp(-1, 1).permute(1, 2, 0) + 1) / 2)
        line[0].set_ylabel(name, rotation=0, ha="right", va="center", fontsize=8)
    for axis in axes.flatten():
        axis.set(xticks=[], yticks=[])
        axis.spines[:].set_visible(False)
    for axis, title in zip(axes[0], titles):
        axis.set_title(textwrap.fill(title, 15), fontsize=8)
    print("figure:", plots.save(figure, path))


# %% [markdown]
# ## What CLIP keeps of an image
#
# Encode an image with CLIP, then decode its embedding many times, each time from other noise: the
# paper calls these *variations*. What is the same in all of them was in the embedding. What changes
# was not, and the noise decided it.
#
# **Question.** CLIP was trained on sentences such as "a small red star". Which of these will stay:
# colour, shape, size, texture, the place?

# %%
some = range(0, count, max(1, count // 5))[:5]
rows = {"the image": images[list(some)]}
for seed in range(4):
    noise = model.decoder.noise([1000 * options.seed + 10 * i + seed for i in some])
    rows[f"noise {seed + 1}"] = model.show(embeddings[list(some)], noise)
sheet(rows, [data.texts[i] for i in some], out / "variations.png")


# %%
def centre(images):
    """Where the thing lies, (B, 2) in [0, 1]: the mean position of the foreground's pixels."""
    ground = images.flatten(2).median(dim=2).values[..., None, None]
    thing = ((images - ground).abs().sum(dim=1) > 0.5).float() + 1e-6  # (B, H, W)
    steps = (torch.arange(images.shape[-1]) + 0.5) / images.shape[-1]
    across = (thing.sum(dim=1) * steps).sum(dim=1)
    down = (thing.sum(dim=2) * steps).sum(dim=1)
    return torch.stack([across, down], dim=1) / thing.sum(dim=(1, 2))[:, None]


def kept(ours, others):
    """The share of pairs of images with the same predicted attribute, by property."""
    ours, others = judge.names(ours), judge.names(others)
    return {name: np.mean(np.array(ours[name]) == np.array(others[name])) for name in PROPERTIES}


# %%
noise = model.decoder.noise([1000 * options.seed + i for i in range(count)])
drawn = model.show(embeddings, noise)
tables = {
    "its variation": kept(images, drawn),
    "another image": kept(images, images.roll(1, 0)),
}
for name, row in tables.items():
    print(f"the same as in {name:16}", {key: round(float(share), 2) for key, share in row.items()})
others = {"its variation": drawn, "another image": images.roll(1, 0)}
for name, other in others.items():
    far = (centre(images) - centre(other)).norm(dim=1).mean()
    print(f"the middle of the thing from that of {name:16} {far:.3f} of the image's width")

# %%
figure, axis = plt.subplots(figsize=(5.5, 2.6), layout="constrained")
for offset, ((name, row), color) in enumerate(zip(tables.items(), (plots.LINES[0], plots.QUIET))):
    axis.bar([i + 0.38 * offset for i in range(4)], [*row.values()], 0.36, color=color, label=name)
axis.set_xticks([i + 0.19 for i in range(4)], ["shape", "colour", "size", "texture"])
axis.set(
    ylabel="share the same", ylim=(0, 1.02), title="what a variation has in common with its image"
)
axis.legend(frameon=False, loc="upper left", bbox_to_anchor=(1, 1))
print("figure:", plots.save(figure, out / "kept.png"))

# %% [markdown]
# **Answer.** Colour and size stay. The place does not: the thing lies nearly as far from its place
# as in any other image. One training sentence in fifteen names it ("on the left"), so the loss gave
# CLIP little reason to encode it.
#
# Shape and texture stay less often than CLIP's own accuracy suggests, so which model lost them?
# Part of the texture was lost before, in the autoencoder (the classifier on autoencoded images,
# above). And the shape? Let CLIP itself classify it, by the nearest of 64 sentences.

# %%
names = [article(f"{color} {shape}") for color in COLORS for shape in PROPERTIES["shape"]]
nearest = (embeddings @ model.clip.embed_texts(names).T).argmax(dim=1).tolist()
wanted = [(scene.things[0].color, scene.things[0].shape) for scene in data.scenes]
told = [names[i].split()[1:] for i in nearest]
for place, name in enumerate(("colour", "shape")):
    share = sum(said[place] == pair[place] for said, pair in zip(told, wanted)) / count
    print(f"CLIP, zero-shot, on the {name} of the images: {share:.3f} right")

# %% [markdown]
# What CLIP can classify is in the embedding. So it is the decoder, trained for a minute and a half,
# that misses it now and then: it learned colour and size first, and outlines come late. A variation
# shows what was kept *and* could be decoded; the rest is not the embedding's fault.
#
# ## On the arc
#
# Embeddings have length 1: they lie on a sphere. Between two of them a straight line leaves the
# sphere. How far depends on the angle between them. `interpolation.slerp` goes along the sphere: at
# a fraction s of the way it has rotated by s of the angle.
#
# **Question.** Seven points at equal fractions of the way, on the line and on the arc. Are those on
# the line at equal angles? How long is the one in the middle?

# %%
stations = [("red", "circle"), ("blue", "star"), ("yellow", "cross"), ("green", "ring")]
rng = np.random.default_rng(options.seed)
ends = draw_many([sample_scene(rng, combinations=[pair]) for pair in stations])
ends = model.clip.embed_images(ends)
shares = torch.linspace(0, 1, 7).tolist()
start, end = ends[:1], ends[1:2]
along = arc(ends[:2], shares)  # (K, E), by interpolation.slerp
line = torch.cat([(1 - share) * start + share * end for share in shares])
across = F.normalize(end - (end @ start.T) * start, dim=1)  # with start, the plane of both
plane = torch.cat([start, across])  # (2, E)
angle = torch.rad2deg((start @ end.T).acos()).item()
print(f"the angle between both is {angle:.0f} degrees")
print("length on the line:", [round(x, 2) for x in line.norm(dim=1).tolist()])
print("length on the arc: ", [round(x, 2) for x in along.norm(dim=1).tolist()])

# %%
figure, axis = plt.subplots(figsize=(4.2, 3.4), layout="constrained")
for points, color, name in ((along, plots.LINES[0], "the arc"), (line, plots.LINES[1], "the line")):
    x, y = (points @ plane.T).T
    axis.plot(x, y, "o-", color=color, label=name, markersize=5)
    for a, b in zip(x, y):
        axis.plot([0, a], [0, b], color=color, linewidth=0.5, alpha=0.5)
axis.set(aspect="equal", xlim=(-0.75, 1.1), ylim=(-0.05, 1.15), title="the plane of two embeddings")
axis.legend(frameon=False, loc="lower left")
print("figure:", plots.save(figure, out / "arc.png"))

# %% [markdown]
# **Answer.** The line takes its largest rotations in the middle, where it is shortest: as long as the
# cosine of half the angle. On the arc, start has the weight sin((1 - s) angle) / sin(angle) and end
# sin(s angle) / sin(angle). In the line's middle the decoder would get what no image has: an
# embedding that is too short. Here both are decoded, all from one noise, with the attributes that
# the classifier predicts.

# %%
noise = model.decoder.noise([1000 * options.seed + 3])
rows = {}
for first, second in ((0, 1), (2, 3)):
    pair = ends[[first, second]]
    ways = {"arc": arc(pair, shares)}
    ways["line"] = torch.cat([(1 - s) * pair[:1] + s * pair[1:] for s in shares])
    for name, way in ways.items():
        label = (
            f"{name}: {stations[first][0]} {stations[first][1]}\nto {' '.join(stations[second])}"
        )
        rows[label] = model.show(way, noise)
sheet(rows, [f"{share:.2f}" for share in shares], out / "interpolation.png")
for label, row in rows.items():
    found = judge.names(row)
    told = [f"{color} {shape}" for color, shape in zip(found["color"], found["shape"])]
    print(label.replace("\n", " ") + ":", ", ".join(told))

# %% [markdown]
# **Answer.** The colour does not fade from one to the other: it jumps, somewhere around the middle,
# at times by way of a third, and there the image is faintest or most broken. There the embedding is
# unlike that of any training image, on the arc too: the sphere has room for more than images. Arc
# and line look nearly the same here. This decoder depends on the direction of an embedding, and
# hardly on its length. What the arc gives for certain is the even rotation, which the figure before
# shows.
#
# ## From words to image embeddings
#
# A sentence has an embedding too. CLIP brings it close to its image: closer than other sentences
# are. That does not mean that it lies *where images lie*. Below are images and sentences, projected
# on the two directions in which all of them together vary most.
#
# **Question.** Will sentences and images mix?

# %%
texts = model.clip.embed_texts(data.texts)
everything = torch.cat([embeddings, texts])
middle = everything.mean(dim=0)
directions = torch.linalg.svd(everything - middle, full_matrices=False).Vh[:2]
imagined = model.imagine(data.texts, seed=options.seed)

# %%
figure, axis = plt.subplots(figsize=(5.4, 3.4), layout="constrained")
parts = {"images": embeddings, "sentences": texts, "by the prior": imagined}
paint = [{"white": "silver", "yellow": "gold"}.get(color, color) for color, _ in wanted]
for (name, points), marker in zip(parts.items(), "ox^"):
    x, y = ((points - middle) @ directions.T).T
    axis.scatter(x, y, s=16, c=paint, marker=marker, label=name, alpha=0.7, linewidths=0.8)
axis.set(title="embeddings, on two directions", aspect="equal")
axis.legend(frameon=False, loc="upper left", bbox_to_anchor=(1, 1))
print("figure:", plots.save(figure, out / "embeddings.png"))

# %% [markdown]
# **Answer.** They do, here: each colour is a cluster, and in it lie images and sentences alike. A
# sentence about one thing says nearly all that CLIP keeps of its image. In a CLIP that was trained
# on the web the two lie apart, each in a cone of its own (*Mind the Gap*, arXiv 2203.02053), and
# there a sentence's embedding is unlike that of any image.
#
# The **prior** maps sentences to image embeddings. It is a diffusion model again, not over pixels
# but over the numbers of one embedding: the input of a small transformer is the words, their
# embedding, the timestep and the noisy embedding, and it predicts the clean one. From one sentence
# it can sample many: which of all red stars is left to the noise. The paper samples two and takes
# the one closer to the sentence (`prior.closest`).
#
# **Question.** How close, by cosine similarity, is its sample to the embedding of the very image
# that the sentence describes? The sentence fits many images. What is the fair thing to compare it
# with?

# %%
alike = [
    sample_scene(rng, combinations=[(s.things[0].color, s.things[0].shape)]) for s in data.scenes
]
near = {
    "another image": embeddings.roll(1, 0),
    "another of that colour and shape": model.clip.embed_images(draw_many(alike)),
    "the sentence itself": texts,
}
for candidates in (1, 2, 8):
    drawn = model.imagine(data.texts, seed=options.seed, candidates=candidates)
    near[f"prior, {candidates} sampled"] = drawn
for scale in (2.0, 4.0):
    near[f"prior, 2 sampled, guidance {scale:.0f}"] = model.imagine(
        data.texts, seed=options.seed, scale=scale
    )

# %%
cosines = {name: (points * embeddings).sum(dim=1) for name, points in near.items()}
for name, values in cosines.items():
    error = values.std() / len(values) ** 0.5
    told = (near[name] * texts).sum(dim=1).mean()
    print(f"{name:34} to the image {values.mean():.3f} +- {error:.3f}, to the sentence {told:.3f}")

# %% [markdown]
# **Answer.** The fair measure is another image of that colour and shape. The prior's samples are
# closer than that, for many sentences also give the size or the texture, and about as close as the
# sentence itself: as sentences lie where images lie, there is little left to gain. The more
# candidates, the closer to the sentence; that is what they are chosen by. Guidance gains little
# here, and too much of it loses.
#
# ## Words to images, with and without a prior
#
# All together now: the sentence, the prior, the decoder. The paper asks whether the prior is
# needed: is the sentence's own embedding, given to the decoder directly, not good enough, as CLIP
# brought it close to the images'?
#
# **Question.** What will the decoder, trained on embeddings of images only, make of it?


# %%
def shown(prompts, first_seed=0):
    """Images of prompts in each of the two ways, the same noise for both."""
    seeds = [1000 * options.seed + first_seed + i for i in range(len(prompts))]
    noise = model.decoder.noise(seeds)
    direct = model.show(model.clip.embed_texts(prompts), noise)
    return {
        "by the prior": model.show(model.imagine(prompts, seed=options.seed), noise),
        "direct": direct,
    }


def right(images, pairs):
    """The shares of images with the colour, and with the shape, of the prompt."""
    found = judge.names(images)
    told = [zip(found[name], asked) for name, asked in zip(("color", "shape"), zip(*pairs))]
    return [sum(said == asked for said, asked in pair) / len(pairs) for pair in told]


# %%
rounds = 1 if options.quick else 2
tests = {"seen": seen * rounds, "never seen": unseen * (2 * rounds)}
table, drawings = {}, {}
for test, pairs in tests.items():
    scenes = [sample_scene(rng, combinations=[pair]) for pair in pairs]
    real = draw_many(scenes)
    noise = model.decoder.noise([1000 * options.seed + i for i in range(len(pairs))])
    drawn = shown([article(" ".join(pair)) for pair in pairs])
    drawn = {"a real image's": model.show(model.clip.embed_images(real), noise)} | drawn
    drawings[test] = {"real": real} | drawn
    table[test] = {name: right(images, pairs) for name, images in drawn.items()}
    for name, (color, shape) in table[test].items():
        print(
            f"{test:11} {len(pairs):4} embeddings {name:17} colour {color:.3f}, shape {shape:.3f}"
        )

# %%
chosen = range(0, len(seen), max(1, len(seen) // 8))[:8]
rows = {name: images[list(chosen)] for name, images in drawings["seen"].items()}
sheet(rows, [" ".join(seen[i]) for i in chosen], out / "words_to_images.png")

# %%
figure, axes = plt.subplots(1, 2, figsize=(7, 2.6), layout="constrained", sharey=True)
for axis, (test, row) in zip(axes, table.items()):
    for offset, ((name, shares), color) in enumerate(zip(row.items(), plots.LINES)):
        axis.bar([i + 0.27 * offset for i in range(2)], shares, 0.25, color=color, label=name)
    axis.set_xticks([0.27, 1.27], ["colour", "shape"])
    axis.set(title=f"combinations {test}", ylim=(0, 1.02))
axes[0].set_ylabel("share right")
axes[1].legend(frameon=False, loc="upper left", bbox_to_anchor=(1, 1), title="decoded embeddings")
print("figure:", plots.save(figure, out / "with_and_without.png"))

# %% [markdown]
# **Answer.** On seen combinations little is lost without a prior, and the figure of embeddings has
# shown why. Of unseen ones there are only 48: differences of less than some 15 points mean nothing.
# The paper, whose CLIP was trained on the web, could use text embeddings directly as well, but
# people preferred the images by the prior (section 5.1). Note also which model fails at shapes: the
# embedding of a real image fares no better than a predicted one. It is the decoder, not its input.
#
# ## The other half of an image
#
# What the embedding does not encode must be in the noise. DDIM adds no random noise, so it can be
# inverted: from an image and its embedding to the noise that would have become it
# (`unclip.invert`).
#
# **Question.** The embedding with the noise that was found: how close do both come to the image?
# Beside them stands the embedding with any other noise.

# %%
few = list(range(0, count, max(1, count // 8)))[:8]
own, codes = images[few], embeddings[few]
steps = 10 if options.quick else 100
found = model.find_noise(own, codes, steps=steps)


def again(noise, codes):
    """Images decoded from noise and embeddings precisely: no guidance, float32."""
    settings = {"steps": steps, "clamp": None}
    return space.to_images(unclip.decode(model.decoder, model.schedule, codes, noise, **settings))


rows = {"the image": own, "autoencoded": space.to_images(space.to_latents(own, chance))}
rows["its noise"] = again(found, codes)
rows["other noise"] = again(model.decoder.noise([1000 * options.seed + i for i in few]), codes)
sheet(rows, [data.texts[i] for i in few], out / "inversion.png")
for name, row in list(rows.items())[1:]:
    print(f"{name:18} has an error of {(row.clamp(-1, 1) - own).abs().mean():.3f} a pixel")
print(f"the noise that was found has mean {found.mean():.2f} and deviation {found.std():.2f}")

# %% [markdown]
# **Answer.** As close as the autoencoder itself can come: inversion and sampling lost nothing else.
# Place, outline and background were all in the noise. It has a mean and a deviation like any other
# noise's; only this embedding turns it into this image.
#
# Now one half can be held while the other is changed. The paper's **text diffs**: take the
# difference of two sentences' embeddings, "a blue star" less "a red star", and rotate the image's
# embedding towards it, along the arc; decode from the image's own noise.
#
# **Question.** How far must one rotate until the colour is the other one? What happens to the
# shape?

# %%
turns = [0.0, 0.15, 0.3, 0.45, 0.6]
things = [scene.things[0] for scene in data.scenes][: 8 if options.quick else 32]
noise = model.find_noise(images[: len(things)], embeddings[: len(things)], steps=steps)
asked, ways = [], []
for i, thing in enumerate(things):
    color = COLORS[(COLORS.index(thing.color) + 3) % len(COLORS)]
    names = [article(f"{color} {thing.shape}"), article(f"{thing.color} {thing.shape}")]
    after, before = model.clip.embed_texts(names).split(1)
    ways.append(unclip.text_diffs(embeddings[i : i + 1], after, before, turns))  # (K, E)
    asked.append((color, thing.shape))
turned = [again(noise, torch.stack([way[k] for way in ways])) for k in range(len(turns))]
for turn, drawn in zip(turns, turned):
    new, shape = right(drawn.clamp(-1, 1), asked)
    print(f"rotated by {turn:.2f}: the new colour {new:.2f}, the shape as before {shape:.2f}")

# %%
six = range(0, len(things), max(1, len(things) // 6))[:6]
rows = {"the image": images[list(six)]}
rows |= {f"rotated {turn:.2f}": drawn[list(six)] for turn, drawn in zip(turns, turned)}
titles = [f"{things[i].color} to {asked[i][0]}" for i in six]
sheet(rows, titles, out / "text_diffs.png")

# %% [markdown]
# **Answer.** Rotated far enough, most images have the new colour, and some have lost their shape.
# On the way some take a third colour, and far from the image's own embedding its noise no longer
# fixes place and outline. The paper's range, 0.25 to 0.5, lies between rotating too little for the
# new colour and too much for the old shape.

# %% [markdown]
# ## In the field's words
#
# **unCLIP** (DALL-E 2): a **diffusion prior** from text to image embedding, and a diffusion
# decoder. Decoding one embedding several times gives **variations**; an arc between two is
# **spherical linear interpolation** (slerp); adding the difference of two texts is a **text diff**.
# That text and image embeddings lie apart is the **modality gap**, the reason for a prior. Going
# from an image back to its noise: **DDIM inversion**.
#
# **Left out here:** The autoregressive prior, the upsamplers of the paper, decoding with both the
# text and the embedding, and what an embedding loses: text in images and which thing has which
# attribute.
#
# All terms, with their files: [glossary](glossary.md).

# %% [markdown]
# ## Three questions
#
# For pen and paper; the answers are in [answers.md](answers.md).
#
# 1. Why not decode the text embedding directly?
#
# 2. Straight interpolation of two unit vectors at right angles: how long is the middle, and why is
#    that bad for a decoder?
#
# 3. Two samples of the decoder from one embedding agree in colour and shape and differ in texture.
#    What does that say about the embedding?

# %% [markdown]
# ## What was reached
#
# Go on with the exercises: `python -m scratchmm learn list`. Lesson 16 puts the generator to use.

# %%
color, shape = table["seen"]["by the prior"]
print(f"shape right, from words by the prior: {shape:.3f}; chance {1 / 8:.3f}")
report("colour right, from words by the prior", color, 0.85, unjudged=options.unjudged)
