"""Lesson 12, samplers and guidance: one trained model, many ways to sample from it.

Question: what may a model predict, how many steps does an image need, how is it made to follow the
prompt, and by what figures does one evaluate images that nobody has drawn before?

Time: about 2 minutes on two cores where the shared models are there, otherwise up to 9 more to
train them (`--quick`: about 20 s). The generator is kept in runs/generator/ (one that `generate`
has trained is taken; it is the same), the attribute classifier in runs/judge/, a small CLIP in
runs/clip/ (lesson 05's is taken if it is there); images go to runs/12_samplers_and_guidance/
(`--quick`: all of these names end in _quick).
Read beside it: scratchmm/diffusion/process.py, scratchmm/diffusion/ddim.py and
scratchmm/diffusion/guidance.py, then scratchmm/metrics/fid.py and scratchmm/metrics/clip_score.py.
Exercises: process.target_of, process.x0_and_noise, ddim.ddim_step, guidance.guide,
guidance.prompt_dropout, fid.frechet_distance, clip_score.clip_score
(`python -m scratchmm learn check ddim.ddim_step`).
Papers: Denoising Diffusion Implicit Models (arXiv 2010.02502); Classifier-Free Diffusion Guidance
(arXiv 2207.12598); Progressive Distillation (arXiv 2202.00512), appendix D, for the velocity; GANs
Trained by a Two Time-Scale Update Rule (arXiv 1706.08500), equation 6, for FID; CLIPScore (arXiv
2104.08718).
"""

# %% [markdown]
# # Samplers and guidance
#
# Lesson 11 trained a model to separate noise from image, and ran the reverse process one small step
# at a time. Nothing in the trained weights fixes how long the steps must be, or that the prediction
# has to be used as it is. This lesson changes only how the model is *sampled*, and measures what
# comes of it.
#
# By the end you can turn any of the three predictions into the others, sample with a tenth of the
# steps, invert an image to its noise, give a prompt more weight and say what that costs, and
# evaluate a set of generated images by three figures that measure different things.

# %%
import time
from collections import Counter
from dataclasses import replace
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import torch

# %%
from scratchmm import plots
from scratchmm.apps.image_studio.models import cache_folder
from scratchmm.data.world.captions import article
from scratchmm.data.world.images import draw_many
from scratchmm.data.world.scenes import PROPERTIES, sample_scene, split_combinations
from scratchmm.diffusion import ddim, ddpm, guidance, process
from scratchmm.diffusion.process import mix
from scratchmm.lesson import LessonParser, report, show_curve
from scratchmm.metrics import clip_score, fid
from scratchmm.recipes import attribute_classifier, text_to_image
from scratchmm.recipes import clip as clip_recipe
from scratchmm.recipes.artifact import load_or_train
from scratchmm.training import placed_colors
from scratchmm.training.precision import fast_precision

# %%
parser = LessonParser(__doc__, devices=False)
options = parser.read("")  # in a notebook, flags go here: "--quick --steps 50"
quick = "_quick" * options.quick
out = options.folder("12_samplers_and_guidance")

# %% [markdown]
# ## Three things to predict
#
# A noisy image is x = sqrt(a) * x0 + sqrt(1 - a) * noise, where x0 is the clean image and a,
# alpha_bar, says how much of x is image. From x and one of the two parts the other follows. So a
# model may be trained to predict either; or the **velocity**, sqrt(a) * noise - sqrt(1 - a) * x0.
#
# **Question.** At which end of the schedule does the velocity look like the noise, and at which
# like the clean image? Which one of the three targets can be read off x itself when hardly any
# noise is there? Which one when hardly any image is left?

# %%
seen, unseen = split_combinations()
rng = np.random.default_rng(options.seed)
scene = sample_scene(rng, combinations=[("orange", "star")])
start = draw_many([scene])  # (B, 3, H, W)
noise = torch.randn(start.shape, generator=torch.Generator().manual_seed(options.seed))
rows, titles = [], []
for level in (0.98, 0.5, 0.02):
    alpha_bar = torch.tensor([level])
    rows.append(mix(start, noise, alpha_bar))
    rows += [process.target_of(start, noise, alpha_bar, target) for target in process.TARGETS]
    titles += [f"x, alpha_bar {level}", "noise", "x0", "velocity"]
sheet = torch.cat(rows) / 1.5  # what is beyond 1.5 is cut off
print("figure:", plots.image_grid(sheet, titles, out / "targets.png", columns=4))

# %% [markdown]
# **Answer.** With little noise the velocity is nearly the noise; with much it is nearly the clean
# image, in opposite colours. x0 can be read off x in the top row, the noise in the bottom row:
# there the model's task is easy, and at the other end it can only estimate. The velocity can be
# read off nowhere: it is what x does not show.
#
# **Question.** Each prediction is wrong by 0.1. How large is the error of the x0 that follows from
# it? At little noise, and at much? (`process.x0_and_noise` does the conversion.)

# %%
levels = torch.linspace(0.001, 0.999, 200)
figure, axes = plt.subplots(1, 2, figsize=(8, 2.8), layout="constrained", sharey=True)
for target, color in zip(process.TARGETS, plots.LINES):
    zero, one = torch.zeros(200), torch.ones(200)
    right = process.target_of(one, one, levels, target)
    estimate = process.x0_and_noise(right + 0.1, mix(one, one, levels), levels, target)
    for axis, part in zip(axes, estimate):
        axis.plot(levels, (part - one).abs(), color=color, label=target)
axes[0].set(title="error of x0", yscale="log", ylim=(1e-3, 10), ylabel="error")
axes[1].set(title="error of the noise")
for axis in axes:
    axis.set(xlabel="alpha_bar: 0 all noise, 1 all image")
    axis.yaxis.set_major_formatter("{x:g}")
    axis.yaxis.set_minor_formatter("")
axes[1].legend(frameon=False, title="predicted, 0.1 wrong")
print("figure:", plots.save(figure, out / "errors.png"))

# %% [markdown]
# **Answer.** Where x is all noise, a small error of the predicted noise is a huge error of x0: it
# is divided by sqrt(a). And where x is all image, the same happens to the noise. An error of the
# velocity is rotated, never enlarged: neither part is ever more wrong than the prediction. That is
# why the generator of this lesson predicts the velocity.
#
# ### A generator and an attribute classifier
#
# The generator turns a sentence into an image; it works on a small grid of numbers that is decoded
# to an image at the end, the *latents* of lesson 13. 52 of the 64 combinations of colour and shape
# were in its training set. How much weight the prompt gets is the guidance *scale*, 4 by default:
# this lesson comes to guidance below. The **attribute classifier** was trained on real images only,
# never on generated ones: it predicts which colour, shape, size and texture an image shows. First
# of all: can the classifier be trusted?

# %%
settings = text_to_image.SETTINGS
if options.quick:
    settings = replace(settings, scenes=400, autoencoder_steps=20, text_steps=20, steps=20)
settings = replace(settings, **options.steps_given())
print(settings)
judging = {"steps": 20} if options.quick else {}
folder = options.place("runs/generator")
generator = load_or_train(
    folder, text_to_image, settings, others=[cache_folder()], progress=True, log=print
)
show_curve(folder, out / "training.png")
judge = load_or_train(
    Path("runs/judge" + quick), attribute_classifier, progress=True, log=print, **judging
)
torch.set_grad_enabled(False)  # from here on nothing but CLIP is trained
model, schedule = generator.model, generator.model.schedule
scenes = [sample_scene(rng, combinations=seen) for _ in range(300 if options.quick else 2000)]
real = draw_many(scenes)
trusted = attribute_classifier.accuracy(judge, scenes, real)
print("accuracy of the classifier:", {name: round(share, 4) for name, share in trusted.items()})
if not options.quick and min(trusted["color"], trusted["shape"]) < 0.99:
    raise SystemExit("the attribute classifier is wrong in more than 1 of 100: train it longer")
print(f"the generator predicts the {model.target}, on a schedule of {len(schedule)} steps")

# %% [markdown]
# Before the end there is an image already: from each prediction follows a predicted x0.
# **Question.** What does the first of these look like, predicted from noise alone? Which will be
# settled first, the colour or the shape?


# %%
def draw(prompts, first_seed=0, **settings):
    """Images (B, 3, H, W) of prompts by DDIM, the seeds counted from 1000 * --seed + first_seed."""
    seeds = range(1000 * options.seed + first_seed, 1000 * options.seed + first_seed + len(prompts))
    low = fast_precision() == "bfloat16"  # half the time on processors that have it
    with torch.autocast("cpu", torch.bfloat16, enabled=low):
        return generator.draw(prompts, seeds=[*seeds], **settings).float()


# %%
def prompts_of(pairs):
    """A prompt for each pair of colour and shape."""
    return [article(f"{color} {shape}") for color, shape in pairs]


def right(images, pairs):
    """The shares of images with the colour, and with the shape, of the prompt."""
    found = judge.names(images)
    told = [zip(found[name], asked) for name, asked in zip(("color", "shape"), zip(*pairs))]
    return [sum(said == asked for said, asked in pair) / len(pairs) for pair in told]


# %%
asked = [seen[i] for i in torch.linspace(0, len(seen) - 1, 8 if options.quick else 104).long()]
seeds = [1000 * options.seed + i for i in range(len(asked))]
path = list(generator.path(prompts_of(asked), seeds=seeds, steps=20))
guesses = [model.space.to_images(step.x0).clamp(-1, 1) for step in path]
settled = [right(images, asked) for images in guesses]
strip = [0, 1, 2, 4, 6, 9, 13, 19]
chosen = [i for i in (5, 60) if i < len(asked)]
parts = {"x": [step.x for step in path], "predicted x0": [step.x0 for step in path]}
rows = {}
for i in chosen:
    for name, latents in parts.items():
        label = f"{name}\n{' '.join(asked[i])}"
        rows[label] = model.space.to_images(torch.cat([latents[t][i : i + 1] for t in strip]))


# %%
def sheet(rows, titles, path):
    """Images in rows, the row's name beside it and the titles on top."""
    down, across = len(rows), len(next(iter(rows.values())))
    size = {"figsize": (1.05 * across + 1.0, 1.08 * down + 0.35), "layout": "constrained"}
    figure, axes = plt.subplots(down, across, squeeze=False, **size)
    for line, (name, images) in zip(axes, rows.items()):
        for axis, image in zip(line, images):
            axis.imshow((image.clamp(-1, 1).permute(1, 2, 0) + 1) / 2)
            axis.set(xticks=[], yticks=[], frame_on=False)
        line[0].set_ylabel(name, rotation=0, ha="right", va="center", fontsize=8)
    for axis, title in zip(axes[0], titles):
        axis.set_title(title.replace(" ", "\n") if len(title) > 14 else title, fontsize=8)
    print("figure:", plots.save(figure, path))


# %%
sheet(rows, [f"step {t + 1}" for t in strip], out / "on_the_way.png")
figure, axis = plt.subplots(figsize=(5.2, 2.8), layout="constrained")
for part, name, color in zip(zip(*settled), ("colour", "shape"), plots.LINES):
    axis.plot(range(1, len(path) + 1), part, color=color, label=name)
axis.set(xlabel="step of 20", xticks=(1, 5, 10, 15, 20), ylabel="share right", ylim=(0, 1.02))
axis.set(title="attributes of the predicted x0, by the classifier")
axis.legend(frameon=False, loc="lower right")
print("figure:", plots.save(figure, out / "settled.png"))

# %% [markdown]
# **Answer.** The first predicted x0 is the mean of all images that are still possible, a blur in
# the prompt's colour. The colour is settled within a few steps, the shape later, and the last steps
# change only fine detail.
#
# ## Fewer steps
#
# DDPM goes through the whole schedule, and adds random noise at each step. DDIM separates x into x0
# and noise and mixes both again at an earlier timestep, as much earlier as one likes, without any
# random noise. It is the same model: nothing is trained again.
#
# **Question.** All 200 steps against 50, 20, 10 and 5, from the same noise. Where does quality
# begin to fall? And will the images be the same?

# %%
per_pair = 1 if options.quick else 6
asked = (seen * per_pair)[: 8 if options.quick else None]
prompts = prompts_of(asked)


def draw_with_all(prompts, scale=4.0):
    """As `draw`, but by DDPM with every step of the schedule."""
    noise = generator.noise([1000 * options.seed + i for i in range(len(prompts))])
    predictor = generator.predictor(prompts, scale=scale)
    dice = torch.Generator().manual_seed(options.seed)
    settings = {"generator": dice, **model.sampling()}
    with torch.autocast("cpu", torch.bfloat16, enabled=fast_precision() == "bfloat16"):
        latents = ddpm.ancestral_sample(predictor, schedule, noise, **settings)
        return model.space.to_images(latents).float().clamp(-1, 1)


# %%
begun = time.perf_counter()
drawn = {f"DDPM {len(schedule)}": draw_with_all(prompts)}
seconds = [time.perf_counter() - begun]
for steps in (50, 20, 10, 5):
    begun = time.perf_counter()
    drawn[f"DDIM {steps}"] = draw(prompts, steps=steps)
    seconds.append(time.perf_counter() - begun)
stepped = {name: right(images, asked) for name, images in drawn.items()}
print(f"{len(prompts)} images each      colour   shape   seconds   difference to DDIM 50, a pixel")
for (name, shares), spent in zip(stepped.items(), seconds):
    apart = (drawn[name] - drawn["DDIM 50"]).abs().mean()
    print(f"{name:20} {shares[0]:7.3f} {shares[1]:7.3f} {spent:9.1f} {apart:9.3f}")

# %%
few = asked[:: 1 if options.quick else 6][:8]
places = [asked.index(pair) for pair in few]
titles = [" ".join(pair) for pair in few]
sheet({name: images[places] for name, images in drawn.items()}, titles, out / "steps.png")

# %% [markdown]
# The goal is that 20 steps of DDIM stay within 3 points of DDPM with all. Is it reached? A share p
# of n images is known to about sqrt(p (1 - p) / n), its standard error; that of a difference is the
# root of the sum of both squares.

# %%
for place, name in enumerate(("colour", "shape")):
    many, some = stepped[f"DDPM {len(schedule)}"][place], stepped["DDIM 20"][place]
    error = ((many * (1 - many) + some * (1 - some)) / len(asked)) ** 0.5
    verdict = "reached" if some >= many - 0.03 else "not reached"
    print(f"{name}: DDPM {many:.3f}, DDIM with 20 steps {some:.3f}, ", end="")
    print(f"difference {some - many:+.3f} with a standard error of {error:.3f}: {verdict}")

# %% [markdown]
# **Answer.** With its random steps DDPM makes other images from the same noise; DDIM makes much the
# same ones with 50, 20 and 10 steps, as the last column shows. 20 steps take a tenth of the work of
# all 200. With 5 the pixels have changed most, but the attributes hardly. And to tell a difference
# of a point or two from none would take thousands of images.
#
# Between both lies **eta**: 0 adds no random noise, 1 as much as DDPM. **Question.** The same
# initial noise, four samples each: which rows will show four times the same?

# %%
times = ddim.spaced_timesteps(len(schedule), 20)
same = generator.noise([1000 * options.seed + 7]).expand(4, -1, -1, -1)
predictor = generator.predictor(["a purple heart"] * 4)
rows = {}
for eta in (0.0, 0.5, 1.0):
    dice = torch.Generator().manual_seed(options.seed) if eta else None
    settings = {"eta": eta, "generator": dice, **model.sampling()}
    latents = ddim.ddim_sample(predictor, schedule, same, times, **settings)
    rows[f"eta {eta}"] = model.space.to_images(latents)
    print(f"eta {eta}: the samples differ by {rows[f'eta {eta}'].std(dim=0).mean():.3f} a pixel")
sheet(rows, ["sample 1", "sample 2", "sample 3", "sample 4"], out / "eta.png")

# %% [markdown]
# **Answer.** Without random noise in the steps, an image is a function of its initial noise. And a
# function of many small steps can be inverted: from an image to the noise that it comes from.
# **Question.** The inverse needs the prediction at the *next*, noisier point, which is not known
# yet, so the model gets the current point with the next timestep. Will that matter more with few
# steps or with many?

# %%
scenes_back = [sample_scene(rng, combinations=[pair]) for pair in few[:6]]
images = draw_many(scenes_back)
latents = model.space.to_latents(images, torch.Generator().manual_seed(options.seed))
predictor = generator.predictor(prompts_of(few[:6]), scale=1.0)
rows = {"a real image": images, "autoencoder\nonly": model.space.to_images(latents)}
for steps in (5, 20) if options.quick else (5, 20, 100):
    times = ddim.spaced_timesteps(len(schedule), steps)
    found = ddim.ddim_invert(predictor, schedule, latents, times, target=model.target)
    back = ddim.ddim_sample(predictor, schedule, found, times, **model.sampling())
    rows[f"inverted and\nsampled, {steps} steps"] = model.space.to_images(back)
    lost = (back - latents).square().mean().sqrt()
    print(f"{steps:3} steps: the latents come back with an error of {lost:.3f}, ", end="")
    print(f"its noise has a deviation of {found.std():.2f}")
sheet(rows, titles[:6], out / "inversion.png")

# %% [markdown]
# **Answer.** More with few: the error falls with the steps. What is found with few of them is not
# Gaussian noise, for its deviation should be 1. The second row is the loss of lesson 13's
# autoencoder alone, with which the steps have nothing to do. With many steps the result is *this*
# image's noise: editing begins here.
#
# ## Guidance
#
# The model is trained on the distribution of images for a prompt, but it follows the prompt only
# loosely: a share of its images are only roughly what the prompt describes. Classifier-free
# guidance evaluates the model twice, with the prompt and without, and extrapolates the difference:
# without + scale * (with - without). Scale 1 is no guidance, 0 no prompt.
#
# **Question.** At which noise level does the prompt change the prediction at all?

# %%
print(
    guidance.guide(torch.tensor([3.0]), torch.tensor([1.0]), scale=4.0).item(), "= 1 + 4 * (3 - 1)"
)
pairs = [(scene.things[0].color, scene.things[0].shape) for scene in scenes[:64]]
prompt, nothing = generator.condition(prompts_of(pairs)), generator.condition([""] * 64)
clean = model.space.to_latents(real[:64], torch.Generator().manual_seed(options.seed))
noise = generator.noise(range(64))
heard = []
for timestep in range(0, len(schedule), 10 if not options.quick else 60):
    now = torch.full((64,), timestep)
    x = process.q_sample(schedule, clean, now, noise)
    told, alone = model(x, now, **prompt), model(x, now, **nothing)
    size = (told - alone).square().mean().sqrt() / told.square().mean().sqrt()
    heard.append({"step": timestep, "difference": size.item()})

# %%
figure, axis = plt.subplots(figsize=(5.2, 2.6), layout="constrained")
axis.plot(*zip(*(row.values() for row in heard)), color=plots.LINES[0])
axis.set(xlabel="timestep: 0 hardly any noise, the last one all noise", ylim=(0, None))
axis.set(ylabel="difference / prediction", title="what the prompt changes")
print("figure:", plots.save(figure, out / "heard.png"))

# %% [markdown]
# **Answer.** Most where there is much noise: x carries little information, so the prediction
# depends on the prompt. At the end x determines it alone. (At timestep 0 the curve rises once more,
# but not because of the prompt: the prediction, by which is divided, gets small, since so little
# noise cannot be told from the image.)
#
# **Question.** Colour and shape over the scale, on combinations of the training set and on held-out
# ones. Where is the best scale? Does more always help?

# %%
scales = (1.0, 8.0) if options.quick else (1.0, 1.5, 2.0, 3.0, 4.0, 6.0, 8.0)
tests = {"seen": (seen * 4)[: 8 if options.quick else None]}
tests["held out"] = unseen[:4] if options.quick else unseen * 8
SWEEP = 10  # steps
swept, guided = {}, {}
for name, pairs in tests.items():
    for scale in scales:
        images = draw(prompts_of(pairs), steps=SWEEP, scale=scale)
        guided[name, scale], swept[name, scale] = images, right(images, pairs)
print(f"scale           {'  '.join(f'{scale:5}' for scale in scales)}")
for name, pairs in tests.items():
    for place, what in enumerate(("colour", "shape")):
        cells = "  ".join(f"{swept[name, scale][place]:5.2f}" for scale in scales)
        print(f"{name:9}{what:6} {cells}   of {len(pairs)}")

# %%
figure, axes = plt.subplots(1, 2, figsize=(8, 2.9), layout="constrained", sharey=True)
for axis, place, what in zip(axes, (0, 1), ("colour", "shape")):
    for name, color in zip(tests, plots.LINES):
        shares = [swept[name, scale][place] for scale in scales]
        axis.plot(scales, shares, color=color, marker="o", markersize=3, label=name)
    axis.set(title=f"right {what}", xlabel="guidance scale", ylim=(0, 1.03))
axes[0].set_ylabel("share, by the classifier")
axes[0].legend(frameon=False, loc="lower right", title="combinations")
print("figure:", plots.save(figure, out / "sweep.png"))
rows = {f"scale {scale:g}": guided["seen", scale][places] for scale in scales}
sheet(rows, titles, out / "scales.png")

# %% [markdown]
# **Answer.** The first steps of the scale gain most, and for shapes more than for colours. Then
# little is gained, or lost again: the difference is extrapolated beyond all images of the training
# set. Look at a column of the figure from top to bottom: one seed, following the prompt more and
# more closely.
#
# The best scale, chosen by the shapes of seen combinations, is evaluated again with other seeds:
# the best of seven is partly luck, and luck does not repeat.

# %%
best = max(scales, key=lambda scale: swept["seen", scale][1])
fresh = right(draw(prompts, 100_000, scale=best), asked)
held = right(draw(prompts_of(tests["held out"]), 200_000, scale=best), tests["held out"])
plain = swept["seen", 1.0]
for place, (what, goal) in enumerate((("colour", 0.9), ("shape", 0.8))):
    verdict = "reached" if fresh[place] >= goal else f"missed by {goal - fresh[place]:.2f}"
    print(
        f"{what}: at scale {best:g} {fresh[place]:.3f} on seen combinations (goal {goal}: ", end=""
    )
    print(f"{verdict}), {held[place]:.3f} on held-out ones, without guidance {plain[place]:.3f}")

# %% [markdown]
# ### Does it follow the place
#
# "On the left": does the image follow the prompt? No classifier is needed for that. The world has
# eight colours, so the pixels of a colour can be found and their mean position measured
# (training/placed_colors.py; in real images that is right to a hundredth of the width).
# **Question.** Chance puts half of the things on the side named in the prompt. Which will be
# harder: "a red star on the left", or "a red star left of a blue ring", and why?

# %%
sides = [place for place in placed_colors.PLACES for _ in range(2 if options.quick else 24)]
things = [seen[i % len(seen)] for i in range(len(sides))]
texts = [f"{prompt} {place}" for prompt, place in zip(prompts_of(things), sides)]
colors = [color for color, _ in things]
placed = {}
for scale in (1.0, 4.0):
    images = draw(texts, 300_000, scale=scale)
    obeyed = placed_colors.at_places(images, colors, sides).float().mean().item()
    placed[scale] = obeyed
    named = ", ".join(f"{share:.2f}" for share in right(images, things))
    print(f"scale {scale}: on the side named {obeyed:.3f} of {len(sides)}; ", end="")
    print(f"colour, shape {named}")


# %%
lot = np.random.default_rng(options.seed + 1)


def two_colors():
    """Two seen combinations of different colours."""
    while True:
        one, other = (seen[i] for i in lot.integers(len(seen), size=2))
        if one[0] != other[0]:
            return one, other


couples = [two_colors() for _ in sides]
ways = [side for side in placed_colors.RELATIONS for _ in range(2 if options.quick else 24)]
starts, ends = (prompts_of([pair[which] for pair in couples]) for which in (0, 1))
texts = [" ".join(parts) for parts in zip(starts, ways, ends)]
ones, others = ([pair[which][0] for pair in couples] for which in (0, 1))
related = {}
for scale in (1.0, 4.0):
    images = draw(texts, 400_000, scale=scale)
    found = [placed_colors.find(images, wanted).middle for wanted in (ones, others)]
    there = torch.cat(found, dim=1).isfinite().all(dim=1).float().mean()
    related[scale] = placed_colors.in_relation(images, ones, ways, others).float().mean().item()
    print(f"scale {scale}: both colours there {there:.3f}, ", end="")
    print(f"and placed as described {related[scale]:.3f} of {len(ways)}")

# %%
columns = 6
drawn_there = {
    place: draw([f"a red star {place}"] * columns, 500_000) for place in placed_colors.PLACES
}
drawn_there |= {
    f"{way}\na blue ring": draw([f"a red star {way} a blue ring"] * columns, 500_000)
    for way in placed_colors.RELATIONS
}
sheet(drawn_there, [f"seed {i}" for i in range(columns)], out / "places.png")

# %% [markdown]
# **Answer.** The relation: both things must be there, each with its own colour, and the structure
# of the sentence matters (which is left of which?). A place is one more property of one thing. What
# it takes is captions that name places: of those that `captions.describe` picks about one thing,
# one in fifteen does, and a generator trained on them generated the same image for "at the top" and
# "at the bottom", seed by seed. Most captions of this one's training set name places
# (data/world/captioned.py). And a place must have a different effect in each cell: the text
# embedding is projected to every cell of the grid (`PlacedWords` in diffusion/unet_blocks.py),
# besides being added to the timestep embedding, which is the same everywhere. Colours and sides of
# two things are as described; their shapes, half as large, are rough, and now and then one is there
# twice: look at the lower half of the figure.
#
# ### Negative prompts
#
# Guidance moves away from the prediction for the empty prompt. Any other prompt may take its place:
# a **negative prompt**, a direction to avoid. **Question.** Things of the world are small or large.
# What comes of the prompt `a blue square` with the negative prompt `a small blue square`? And with
# `a large blue square`?

# %%
count = 8 if options.quick else 48
rows = {}
for size in ("", "small ", "large "):
    away = f"a {size}blue square" if size else ""
    images = draw(["a blue square"] * count, negative=away, scale=2.0, steps=SWEEP)
    found = {name: dict(Counter(told)) for name, told in judge.names(images).items()}
    print(f"negative {away!r}: {found['size']}, {found['color'].get('blue', 0)} of {count} blue")
    rows[f"negative:\n{away or 'no prompt'}"] = images[:8]
sheet(rows, [], out / "negative.png")

# %% [markdown]
# **Answer.** Away from the large ones come mostly small ones; away from the small ones nothing is
# gained, as hardly any were small. Blue stands on both sides of the difference and cancels, so that
# guidance no longer pushes towards it: at this scale the colour holds all the same, as the last
# number of each line shows.
#
# ## Prompts left out
#
# The unconditional prediction, the one without a prompt, comes from the same model. How was it
# trained to make one? In training, one prompt in ten was replaced by the empty one
# (`guidance.prompt_dropout`).
#
# **Question.** A prompt is its tokens *and* the mask that says which of them are real. (The empty
# one has two: the token at the start and the one at the end.) What if the tokens were replaced and
# the mask was forgotten?

# %%
tokens, real_tokens = generator.tokens(prompts_of(pairs := seen[:20]))
empty_tokens, empty_real = generator.tokens([""])
kept = guidance.prompt_dropout(
    {"tokens": tokens, "real": real_tokens},
    {"tokens": empty_tokens, "real": empty_real},
    dropout_probability=0.2,
    generator=torch.Generator().manual_seed(options.seed),
)
for row in range(20):
    words = generator.tokenizer.decode(kept["tokens"][row][kept["real"][row]].tolist())
    print(f"{prompts_of(pairs)[row]:18} -> {int(kept['real'][row].sum())} tokens: {words!r}")

# %%
now = torch.full((64,), len(schedule) * 4 // 5)
x = process.q_sample(schedule, clean, now, noise)
told, alone = model(x, now, **prompt), model(x, now, **nothing)
half = model(x, now, context=nothing["context"], mask=prompt["mask"])  # the mask was forgotten
for name, other in {"the prompt": told, "the mask alone": half}.items():
    apart = (other - alone).square().mean().sqrt()
    print(f"{name} moves the prediction by {apart:.3f}")
nothing_said = draw([""] * (8 if options.quick else 48), scale=1.0)
found = judge.names(nothing_said)
print("with the empty prompt:", dict(Counter(found["color"])), dict(Counter(found["shape"])))
few_of = nothing_said[:16]
names = [f"{color} {shape}" for color, shape in zip(found["color"], found["shape"])][:16]
heading = "generated from the empty prompt, and the predicted attributes"
print("figure:", plots.image_grid(few_of, names, out / "empty_prompt.png", heading=heading))

# %% [markdown]
# **Answer.** With a forgotten mask the model attends to padding: a third condition, neither the
# prompt nor the empty one, and guidance would move away from that. (Here one in five was dropped,
# to see some.) With the empty prompt it generates things of many kinds, in many colours.
#
# ## How far from real
#
# The attribute classifier counts what is right, image by image. It does not measure whether all
# stars are the same star. FID compares distributions: means m and covariances C of the classifier's
# features, 64 numbers an image, of generated images and of real ones of the same kind. Both are
# taken for normal distributions, and the distance is |m1 - m2|^2 + trace(C1 + C2 - 2 sqrt(C1 C2)),
# where the root is that of a matrix, not of its entries.
#
# **Question.** A distance has no unit. Between which two figures will it lie? And as guidance makes
# more images right, will it bring their distribution closer to the real one?

# %%
crowd = len(tests["seen"])
reference = judge.features(real)


def distance(images):
    """FID of the first images, as many in each set, to the same real ones."""
    return fid.fid(judge.features(images[:crowd]), reference)


# %%
again = [sample_scene(rng, combinations=[pair]) for pair in tests["seen"]]
ends = {"real, other ones": distance(draw_many(again))}
dirt = torch.rand(crowd, 3, 32, 32, generator=torch.Generator().manual_seed(options.seed))
ends["noise"] = distance(2 * dirt - 1)
print(f"each set has {crowd} images, the real one {len(real)}")
figures = ends | {name: distance(images) for name, images in drawn.items()}
print({name: round(value, 1) for name, value in figures.items()})
print(f"|m1 - m2|^2 + trace(...) of a set to itself: {fid.fid(reference, reference):.2g}")


# %%
def spread(images, pairs):
    """The mean distance of the features of different images of the same combination."""
    features, apart = judge.features(images), []
    for pair in dict.fromkeys(pairs):
        own = features[[i for i, other in enumerate(pairs) if other == pair]]
        if len(own) > 1:
            apart.append(torch.pdist(own).mean())
    return torch.stack(apart).mean().item() if apart else torch.nan


# %%
spread_of_real = spread(draw_many(again), tests["seen"])
kept_spread, distances = [], []
for scale in scales:
    kept_spread.append(spread(guided["seen", scale], tests["seen"]) / spread_of_real)
    distances.append(distance(guided["seen", scale]))
    large = judge.names(guided["seen", scale])["size"].count("large") / crowd
    print(
        f"scale {scale:3}: FID {distances[-1]:6.1f}, spread {kept_spread[-1]:.2f} of the real,",
        end="",
    )
    print(f" {large:.2f} of them large")

# %%
figure, axes = plt.subplots(1, 2, figsize=(8, 2.9), layout="constrained")
axes[0].barh(list(figures), list(figures.values()), color=plots.LINES[0])
axes[0].bar_label(axes[0].containers[0], fmt="%.0f", padding=3, fontsize=8)
axes[0].invert_yaxis()
axes[0].set(xscale="log", title="FID, at scale 4", xlim=(1, 6000))
axes[0].xaxis.set_major_formatter("{x:g}")
axes[0].xaxis.set_minor_formatter("")
axes[1].plot(scales, distances, color=plots.LINES[0], marker="o", markersize=3, label="FID")
axes[1].axhline(ends["real, other ones"], color=plots.QUIET, linestyle="--", linewidth=1)
axes[1].text(8, ends["real, other ones"], "real against real", ha="right", va="bottom", fontsize=8)
axes[1].set(xlabel="guidance scale", ylabel="FID", ylim=(0, None), title="what guidance costs")
other = axes[1].twinx()
other.plot(scales, kept_spread, color=plots.LINES[1], marker="o", markersize=3)
other.set(ylim=(0, 1.1))
other.set_ylabel("spread / real", color=plots.LINES[1])
print("figure:", plots.save(figure, out / "fid.png"))

# %% [markdown]
# **Answer.** Between other real images (not 0: with few images every set is a little different) and
# noise. Both ends belong beside any FID. And it disagrees with the attribute classifier: with more
# guidance images are more often right, and their distribution is further from the real one. Most
# are large, and alike: what the prompt leaves open no longer varies. **Question.** Can you see it
# in eight of them?

# %%
rows = {}
for scale in (1.0, 4.0, 8.0):
    rows[f"scale {scale:g}"] = draw(["a green ring"] * 8, scale=scale)
examples = [sample_scene(rng, combinations=[("green", "ring")]) for _ in range(8)]
rows["real ones"] = draw_many(examples)
sheet(rows, [], out / "diversity.png")

# %% [markdown]
# **Answer.** Sizes and textures: real rings have all of them. And too high a scale may lead outside
# of the training distribution: inverted colours, light where there was none. Neither figure alone
# says which scale is right; for one good image take a higher scale than for a varied set.
#
# ## Does it follow the prompt
#
# The attribute classifier has only this world's 64 combinations. CLIPScore needs no list: it is the
# similarity of an image and any sentence by a CLIP (lesson 05), 2.5 * max(cosine, 0).

# %%
recipe = replace(clip_recipe.SETTINGS, images=1000, steps=30) if options.quick else None
others = [Path("runs/05_clip"), Path("runs/tour")]
clip = load_or_train(
    Path("runs/clip" + quick), clip_recipe, recipe, others=others, progress=True, log=print
)

# %% [markdown]
# **Question.** Each image against its own prompt, one with another colour, one with another shape,
# and one with both changed. In which order will the scores be?


# %%
def scored(images, texts):
    """The CLIPScore (B,) of each image with its text."""
    return clip_score.clip_score(clip.embed_images(images), clip.embed_texts(texts))


def after(value, place):
    """The pair with another colour (place 0) or another shape (place 1)."""
    names = PROPERTIES["color" if place == 0 else "shape"]
    other = names[(names.index(value[place]) + 3) % len(names)]
    return (other, value[1]) if place == 0 else (value[0], other)


# %%
images = drawn["DDIM 20"]
wrong = {"its prompt": asked, "another colour": [after(pair, 0) for pair in asked]}
wrong["another shape"] = [after(pair, 1) for pair in asked]
wrong["both changed"] = [after(after(pair, 0), 1) for pair in asked]
points = {name: scored(images, prompts_of(pairs)) for name, pairs in wrong.items()}
means = {name: values.mean().item() for name, values in points.items()}
for name, values in points.items():
    above = (points["its prompt"] > values).float().mean()
    print(
        f"{name:15} {values.mean():.2f}"
        + f", below its prompt in {above:.2f}" * (name != "its prompt")
    )

# %%
told = judge.names(images)["shape"]
good = torch.tensor([said == shape for said, (_, shape) in zip(told, asked)])
for name, chosen in {"right": good, "wrong": ~good}.items():
    mean = points["its prompt"][chosen].mean()
    print(f"shape {name} by the classifier: its prompt {mean:.2f}, {int(chosen.sum())} images")
path = plots.bars(means, out / "clip_score.png", heading="CLIPScore with", label="0 to 2.5")
print("figure:", path)

# %% [markdown]
# **Answer.** Its own prompt first, a wrong colour far below a wrong shape: this CLIP separates
# colours better than shapes, as lesson 05 has shown. Compare the last two lines: where they differ,
# two separately trained models agree on which images have failed. But a CLIPScore depends on its
# CLIP, and cannot be compared with that of another.

# %% [markdown]
# ## In the field's words
#
# To predict the noise, the clean image or the velocity: **epsilon-prediction**, **x0-prediction**
# and **v-prediction**. DDIM integrates an ordinary differential equation, the **probability-flow
# ODE**, in large steps; integrating it in the other direction is **DDIM inversion**. Extrapolating
# from the unconditional to the conditional prediction is **classifier-free guidance** (CFG), its
# strength the guidance scale; in two conventions, u + s (c - u) here, and c + w (c - u) in the
# paper, with s = 1 + w. Leaving prompts out in training: **conditioning dropout** (unconditional
# training). More images right, but more of them alike: the trade of **fidelity against diversity**
# (precision and recall). Distributions of features are compared by the **Fréchet Inception
# distance** (FID); here the features are a small classifier's.
#
# **Left out here:** Higher-order solvers (DPM-Solver, Heun), distillation to one step, dynamic
# thresholding and rescaled guidance, Inception features and the sample sizes (50,000) at which
# published FIDs are measured.
#
# All terms, with their files: [glossary](glossary.md).

# %% [markdown]
# ## Three questions
#
# For pen and paper; the answers are in [answers.md](answers.md).
#
# 1. Guidance with scale s = 3 in this lesson's convention: which w is that in the paper's? How
#    many network evaluations does a DDIM sample of 20 steps cost?
#
# 2. A FID of 25 from 300 images, and one of 12 from 30,000. Is the second model better?
#
# 3. Why does v-prediction stay usable where alpha-bar is 0, and epsilon-prediction not?

# %% [markdown]
# ## What was reached
#
# Go on with the exercises of this lesson: `python -m scratchmm learn list`. Lesson 13 explains the
# grid of latents that all of this happened in.

# %%
for what, shares in {"seen": fresh, "held out": held}.items():
    print(f"{what:9} right colour {shares[0]:.3f}, right shape {shares[1]:.3f}, at scale {best:g}")
if fresh[1] < 0.8 and not options.unjudged:
    print(f"8 of 10 shapes were the goal; this generator gets {10 * fresh[1]:.1f} of 10 right")
report(f"right colour at scale {best:g}", fresh[0], 0.9, unjudged=options.unjudged)
report(f"right shape at scale {best:g}", fresh[1], 0.8, unjudged=options.unjudged)
report("on the side of the prompt, at scale 4", placed[4.0], 0.9, unjudged=options.unjudged)
report("two things placed as prompted, at scale 4", related[4.0], 0.7, unjudged=options.unjudged)
