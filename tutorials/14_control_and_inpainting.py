"""Lesson 14, control and inpainting: where a thing is to be, and where nothing may change.

Question: a sentence says what, but hardly where. How is a model conditioned on where, and how is it
kept from changing what is already there?

Time: about 1 minute on two cores with the generator and the attribute classifier of lesson 12
there, 9 more where they must be trained first (`--quick`: about 20 s). Images go to
runs/14_control_and_inpainting/ (`--quick`: to ..._quick/).
Read beside it: scratchmm/vision/canny.py, scratchmm/diffusion/controlnet.py, then
scratchmm/diffusion/editing/inpainting.py and scratchmm/diffusion/editing/relevance.py.
Exercises: canny.thin, controlnet.ZeroConvolution, controlnet.add_control, inpainting.blend
(`python -m scratchmm learn check canny.thin`).
Papers: A Computational Approach to Edge Detection (Canny 1986); ControlNet (arXiv 2302.05543),
section 3; RePaint (arXiv 2201.09865), algorithm 1; SDEdit (arXiv 2108.01073).
"""

# %% [markdown]
# # Control and inpainting
#
# "A red star": on which side, how large, turned which way? Words leave that open, and a control
# image of lines would fix it at once. So this lesson gives a trained generator a second input,
# without losing what it can do. Then the opposite: an image is given, and only one part of it may
# change.
#
# By the end you can find edges as Canny did, control a frozen model, one whose weights stay as they
# are, with a copy of its own encoder, fill a hole and prove that nothing else changed, and find the
# hole from words.

# %%
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F

# %%
from scratchmm import plots
from scratchmm.apps.image_studio.models import cache_folder
from scratchmm.data.world.captions import article
from scratchmm.data.world.control_images import KINDS, control_images
from scratchmm.data.world.images import draw_many, masks
from scratchmm.data.world.scenes import COLORS, SHAPES, sample_scene, split_combinations
from scratchmm.diffusion.ddim import spaced_timesteps
from scratchmm.diffusion.editing.inpainting import edit, grow_mask, inpaint, paste, shrink_mask
from scratchmm.diffusion.editing.relevance import mask_of, relevance_by_occlusion
from scratchmm.lesson import LessonParser, report, show_curve
from scratchmm.recipes import attribute_classifier, controlnet, text_to_image
from scratchmm.recipes import clip as clip_recipe
from scratchmm.recipes.artifact import load_or_train
from scratchmm.training.sampling import seeded
from scratchmm.vision.canny import blur, canny, hysteresis, slope, thin

# %%
parser = LessonParser(__doc__, devices=False)
options = parser.read("")  # in a notebook, flags go here: "--quick --steps 50"
short = "_quick" * options.quick
out = options.folder("14_control_and_inpainting")
count = 8 if options.quick else 64  # images of each trial

# %% [markdown]
# ## Edges
#
# An edge is where brightness changes fast: where the gradient is large. The gradient is broad: in
# an image that is blurred a little, so that noise adds no edges of its own, the border of a thing
# is a ridge some pixels wide. Canny keeps its crest: a pixel stays if its gradient is larger than
# that of its two neighbours *along the gradient* (non-maximum suppression). Last, two thresholds: a
# pixel above the higher one is an edge, and one above the lower is an edge if it is connected to
# such a pixel.
#
# **Question.** Of the pixels above the lower threshold, how many will the thinning leave?


# %%
def scenes_of(number, things, seed, texture="plain"):
    """Scenes of seen combinations, all things of one texture."""
    rng, found = np.random.default_rng(seed), []
    while len(found) < number:
        scene = sample_scene(rng, things, split_combinations()[0])
        if all((thing.texture == "plain") == (texture == "plain") for thing in scene.things):
            found.append(scene)
    return found


scenes = scenes_of(count, 1, options.seed + 77)
images, asked = draw_many(scenes), control_images(scenes, "edges")
hill = slope(blur(images, sigma=1.0))
ridge = thin(hill.magnitude, hill.down, hill.across)
kept = hysteresis(ridge, low=0.1, high=0.2).float()

# %%
broad, narrow = float((hill.magnitude > 0.1).sum()), float((ridge > 0.1).sum())
print(f"above the threshold {broad:.0f}, after thinning {narrow:.0f}: 1 in {broad / narrow:.1f}")
row = next(i for i, scene in enumerate(scenes) if scene.things[0].shape in ("star", "heart"))
grain = torch.randn(images.shape, generator=seeded(options.seed, 9))
dirty = images + 0.15 * grain  # as in photographs: this is what the thresholds are for
steep = slope(blur(dirty, sigma=1.0))
lines = thin(steep.magnitude, steep.down, steep.across)
sure = hysteresis(lines, low=0.1, high=0.2).float()
weak, left = int((lines[row] > 0).sum()), int(sure[row].sum())
print(f"with noise: {weak} pixels after thinning, {left} after two thresholds")
steps = [dirty, blur(dirty, 1.0), steep.magnitude, lines.sqrt(), sure, asked]
shown = [step[row].expand(3, -1, -1) for step in steps]
shown[2:] = [2 * step / step.max() - 1 for step in shown[2:]]
titles = ["with noise", "blurred", "gradient", "thinned", "after two thresholds", "ground truth"]
print("figure:", plots.image_grid(torch.stack(shown), titles, out / "canny.png", columns=6))

# %% [markdown]
# **Answer.** About one of four: the ridge is three or four pixels wide, and its crest is one. On
# clean images nearly all of that crest is above the higher threshold. With noise, as in canny.png,
# there are small ridges everywhere; what the two thresholds (hysteresis) leave is the border.
#
# In this world there is a ground truth: the scene gives the outline of each thing. The two need not
# meet in the same pixel, since a border lies *between* two. So an edge counts as right if the other
# image has one at most a pixel away. Precision: the share of the found edges that are right;
# recall: the share of the true edges that were found; F: their harmonic mean.
#
# **Question.** Things may also be striped or dotted. What happens to each of the three?


# %%
def agreement(found, wanted):
    """Precision, recall and F of edges (B, 1, H, W) of 0 and 1, to within one pixel."""
    near, known = (F.max_pool2d(x, 3, stride=1, padding=1) for x in (found, wanted))
    precision = float((found * known).sum() / found.sum().clamp(min=1))
    recall = float((wanted * near).sum() / wanted.sum())
    return precision, recall, 2 * precision * recall / max(precision + recall, 1e-9)


def say(name, scores):
    print(f"{name:32} precision {scores[0]:.3f}   recall {scores[1]:.3f}   F {scores[2]:.3f}")


say("Canny, plain things", agreement(canny(images), asked))
others = scenes_of(count, 1, options.seed + 78, texture="any")
told = agreement(canny(draw_many(others)), control_images(others, "edges"))
say("Canny, striped and dotted", told)

# %% [markdown]
# **Answer.** Canny finds the borders of the stripes, which are no edges in the ground truth:
# precision falls, recall hardly, and F lies between. What follows uses plain things, so that Canny
# is not the weak point of the evaluation.
#
# ## Zero at first
#
# The generator of lessons 12 and 13 is conditioned on text. Its down blocks and its middle are
# copied; the copy's input is also the control image, and its outputs are added to the frozen
# original's skip connections, and to the output of its middle. Before it is added, each goes
# through a convolution of its own whose weights and bias are zero: a zero convolution.
#
# **Question.** What does the model generate before the copy is trained? And can a layer of zeros
# learn?

# %%
settings = text_to_image.SETTINGS
if options.quick:
    settings = replace(settings, scenes=400, autoencoder_steps=20, text_steps=20, steps=20)
folder = Path("runs/generator" + short)
generator = load_or_train(
    folder, text_to_image, settings, others=[cache_folder()], progress=True, log=print
)
judging = {"steps": 20} if options.quick else {}
judge = load_or_train(
    Path("runs/judge" + short), attribute_classifier, progress=True, log=print, **judging
)
prompts = [article(f"{scene.things[0].color} {scene.things[0].shape}") for scene in scenes]
seeds = [1000 * options.seed + number for number in range(count)]
without = generator.draw(prompts, seeds=seeds)

# %%
new = controlnet.build(controlnet.SETTINGS, generator, seed=options.seed)
alone = generator.draw(prompts[:8], seeds=seeds[:8])
same = torch.equal(new.draw(prompts[:8], asked[:8], seeds=seeds[:8]), alone)
print("untrained control gives the generator's own images, bit for bit:", same)
if not same:
    raise SystemExit("an untrained control changes the generated images")
ours, base = (sum(p.numel() for p in m.parameters()) for m in (new.model, generator.model.unet))
print(f"{ours} parameters to train beside {base} that stay as they are")

# %% [markdown]
# **Answer.** Exactly the same images as before. And it learns: the gradient of a weight is the
# gradient of the output times the *input*, and the input is not zero. Only the copy before the
# zeros must wait one step: its gradient comes back through them, times zero, until they are no
# longer zero.

# %%
settings = controlnet.SETTINGS
if options.quick:
    settings = replace(settings, scenes=200, steps=10)
settings = replace(settings, **options.steps_given())
print(settings)
folder = options.place("runs/generator")
control = controlnet.load_or_train(folder, generator, settings, progress=True, log=print)
show_curve(folder / "control_edges", out / "training.png")
drawn = control.draw(prompts, asked, seeds=seeds)

# %% [markdown]
# ## What edges decide
#
# Same prompts, same seeds: without control, and with. Canny finds the edges of the generated
# images, and they are compared with those of the control images.

# %%
table = {"without control": without, "with control": drawn}
table["real images, autoencoded"] = generator.model.space.to_images(
    generator.model.space.to_latents(images, seeded(options.seed, 0))
).detach()
scores = {name: agreement(canny(batch), asked) for name, batch in table.items()}
for name, values in scores.items():
    say(name, values)

# %%
rows = torch.cat([2 * asked[:8].expand(-1, 3, -1, -1) - 1, without[:8], drawn[:8]])
titles = [f"control: {prompt}" for prompt in prompts[:8]]
titles += ["without"] * len(without[:8]) + ["with control"] * len(drawn[:8])
print("figure:", plots.image_grid(rows, titles, out / "edges.png", columns=8))

# %% [markdown]
# The last row of the table is the ceiling: the real images, encoded and decoded once.
#
# Lines have no colour, so the prompt decides that. But both determine the shape. **Question.** The
# lines are of one shape and the prompt names another. Which one does the model follow?

# %%
shift = [SHAPES[(SHAPES.index(scene.things[0].shape) + 3) % len(SHAPES)] for scene in scenes]
liars = [article(f"{scene.things[0].color} {shape}") for scene, shape in zip(scenes, shift)]
for scale in (1.0, 4.0):
    torn = control.draw(liars, asked, seeds=seeds, scale=scale)
    said = judge.names(torn)["shape"]
    by_lines = np.mean([s == scene.things[0].shape for s, scene in zip(said, scenes)])
    by_words = np.mean([s == shape for s, shape in zip(said, shift)])
    print(
        f"guidance {scale}: shape of the lines {by_lines:.2f}, of the prompt {by_words:.2f}, ",
        end="",
    )
    print(f"F of the edges {agreement(canny(torn), asked)[2]:.2f}")

# %% [markdown]
# **Answer.** Both, as the shares show: neither wins every time, and guidance shifts it towards the
# prompt, since it enlarges the effect of the words and leaves that of the lines as it is. Every
# block is conditioned on the words, and the copy was trained on lines and words that never
# disagreed. The edges are closer to the control image than they were without control: where the
# thing is and how large, the lines decide.
#
# Other control images work with the same network: depth, which in this flat world is a silhouette,
# brighter the nearer it is, or a "pose", here a cross of lines that gives place and size but not
# shape. `SETTINGS` with kind="pose" trains that one.

# %%
kinds = torch.cat([control_images(scenes[:2], kind).expand(-1, 3, -1, -1) for kind in KINDS])
rows = torch.cat([images[:2], 2 * kinds - 1])
titles = ["image"] * 2 + [kind for kind in KINDS for _ in range(2)]
print("figure:", plots.image_grid(rows, titles, out / "kinds.png", columns=8))

# %% [markdown]
# ## Only in the hole
#
# Now an image is given, and one region of it is to show something else. The model was not trained
# with holes. So after every step, what lies outside is put back: the known image, with the noise
# level of that step (`inpainting.blend`). The next step is conditioned on it, and fills the hole
# with what fits.
#
# All this happens in latents, where a cell stands for 8 x 8 pixels. A cell that the hole touches is
# generated whole (`shrink_mask`), and in the end the original's pixels are pasted back (`paste`).
# If the hole were not made of whole cells, the paste would cut off what was generated beyond its
# edge; so here it is grown to whole cells first. And the generator's background is a shade off: the
# generated part is shifted by the difference of medians on both sides of the hole's edge.
#
# **Question.** Is anything outside the hole changed, even by a little?

# %%
old = scenes_of(count // 2, 1, options.seed + 79)
before = draw_many(old)


def box_around(mask):
    """A mask (H, W) as the box that holds it, with two pixels to spare."""
    down, across = mask.any(dim=1).nonzero().flatten(), mask.any(dim=0).nonzero().flatten()
    box = torch.zeros_like(mask)
    box[down[0] : down[-1] + 1, across[0] : across[-1] + 1] = True
    return grow_mask(box[None, None], 2)


def whole_cells(hole, grid=(4, 4)):
    """A hole (B, 1, 32, 32) grown to all pixels of the cells that it touches."""
    cells = shrink_mask(hole, grid).float()
    return F.interpolate(cells, size=tuple(hole.shape[-2:])) > 0


holes = whole_cells(torch.cat([box_around(masks(scene)[0]) for scene in old]))
wishes = [
    (COLORS[(COLORS.index(thing.color) + 3) % 8], SHAPES[(SHAPES.index(thing.shape) + 3) % 8])
    for thing in (scene.things[0] for scene in old)
]
wanted = [article(" ".join(wish)) for wish in wishes]
way = spaced_timesteps(len(generator.model.schedule), 5 if options.quick else 20)
sampling = generator.model.sampling()


# %%
def shade_off(painted, images, holes):
    """What to add to the generated part (B, 3, 1, 1) so that its edge matches the background."""
    rims = grow_mask(holes, 2) & ~holes, holes & grow_mask(~holes, 2)
    medians = [
        kept.masked_fill(~rim, torch.nan).flatten(2).nanmedian(dim=2).values[..., None, None]
        for kept, rim in zip((images, painted), rims)
    ]
    # Nothing where the hole is the whole image; little, for an edge may lie on a thing.
    return (medians[0] - medians[1]).nan_to_num(0).clamp(-0.15, 0.15)


def fill(images, holes, prompts, repeats=2):
    """The images with their holes (B, 1, 32, 32) filled as the prompts say."""
    model, noise = generator.model, generator.noise(seeds[: len(images)])
    known = model.space.to_latents(images, seeded(options.seed, 1))
    cells = shrink_mask(holes, tuple(noise.shape[-2:]))
    settings = {"repeats": repeats, "generator": seeded(options.seed, 2)} | sampling
    with torch.no_grad():
        predict = generator.predictor(prompts)
        found = inpaint(predict, model.schedule, known, cells, noise, way, **settings)
        painted = model.space.to_images(found)
        painted = painted + shade_off(painted, images, holes)
        return paste(painted.clamp(-1, 1), images, holes)


after = fill(before, holes, wanted)
outside = ~holes.expand_as(before)
untouched = torch.equal(after[outside], before[outside])
print("outside the holes every number is the same:", untouched)
if not untouched:
    raise SystemExit("inpainting changed what lies outside of the hole")


# %%
def shown(images, wishes):
    """The shares of images with the colour, and with the shape, of the prompt."""
    told = judge.names(images)
    return [
        np.mean([said == wish[place] for said, wish in zip(told[name], wishes)])
        for place, name in enumerate(("color", "shape"))
    ]


for name, batch in (("before", before), ("after", after)):
    color, shape = shown(batch, wishes)
    print(f"{name:7} the prompt's colour {color:.2f}, its shape {shape:.2f}")
if color < 0.7 and not options.unjudged:
    raise SystemExit(f"the hole shows the prompt's colour in {color:.2f} of the images only")
rows = torch.cat([before[:6], torch.where(holes[:6], 1.0, before[:6]), after[:6]])
titles = ["before"] * len(before[:6]) + ["hole"] * len(before[:6]) + [f"{p}" for p in wanted[:6]]
print("figure:", plots.image_grid(rows, titles, out / "holes.png", columns=len(before[:6])))

# %% [markdown]
# **Answer.** Nothing: what is pasted is the original, so this holds by construction, and is checked
# all the same. Each step is taken twice here, with a jump back to the noisier level between
# (`repeats=2`), so that what is inside can adapt to what is around it. Inside, look for failures:
# the mask is no input of the model, so a thing may lie across the hole's edge and be cut there, and
# in a small hole a ring ends as an arc. The colour is nearly always that of the prompt, the shape
# less often (the shares above): this generator makes whole images better than parts of them.
#
# ## A hole from words
#
# Who draws the hole? "The red star" can say where it is, with a model that relates words and
# images. Here two things are in each image, and one of them is named. The CLIP of lesson 05 scores
# how well an image matches words. Give it one window of the image after the other, all else covered
# with the background's colour: where the score rises, the window shows what the words name.

# %%
recipe = replace(clip_recipe.SETTINGS, images=1000, steps=30) if options.quick else None
others = [Path("runs/05_clip"), Path("runs/tour")]
clip = load_or_train(
    Path("runs/clip" + short), clip_recipe, recipe, others=others, progress=True, log=print
)


def heat_of(image, words, patch=12):
    """The relevance of each pixel for the words."""
    meaning = clip.embed_texts([words])[0]
    return relevance_by_occlusion(
        lambda images: clip.embed_images(images) @ meaning, image, patch, alone=True
    )


# %%
pairs = scenes_of(24 if not options.quick else 4, 2, options.seed + 80)
crowded = draw_many(pairs)
names = [article(f"{scene.things[1].color} {scene.things[1].shape}") for scene in pairs]
heats = [heat_of(image, name) for image, name in zip(crowded, names)]
true = [masks(scene)[1] for scene in pairs]
on_it = [bool(grow_mask(m[None, None], 1)[0, 0].flatten()[h.argmax()]) for h, m in zip(heats, true)]
chance = float(torch.stack(true).float().mean())
print(f"the most relevant pixel lies on the thing named: {np.mean(on_it):.2f}, chance {chance:.2f}")

# %%
maps = torch.stack([2 * h.clamp(min=0) / h.max() - 1 for h in heats[:6]])[:, None]
rows = torch.cat([crowded[:6], maps.expand(-1, 3, -1, -1)])
titles = names[:6] + ["relevance"] * len(maps)
print("figure:", plots.image_grid(rows, titles, out / "words.png", columns=len(maps)))

# %% [markdown]
# And then what was found is filled again, in images of one thing. Compare `found` with the thing:
# where the relevance map has missed a part of it, the old colour stays beside the new one.

# %%
named = [article(f"{scene.things[0].color} {scene.things[0].shape}") for scene in old[:6]]
found = [mask_of(heat_of(*both), threshold=0.6, grow=2) for both in zip(before, named)]
found = whole_cells(torch.cat(found))
filled = fill(before[: len(found)], found, wanted[: len(found)])
rows = torch.cat([before[:6], torch.where(found, 1.0, before[:6]), filled])
titles = named + ["found"] * len(found) + wanted[: len(found)]
print("figure:", plots.image_grid(rows, titles, out / "replaced.png", columns=len(found)))

# %% [markdown]
# ## An image as the beginning
#
# There is a way without any hole: add noise to the whole image, but not up to the last timestep,
# and let the model denoise it with another prompt. **Question.** With how much noise does the
# colour change, and what else does?

# %%
start = generator.model.space.to_latents(images, seeded(options.seed, 3))
turned = [COLORS[(COLORS.index(scene.things[0].color) + 3) % len(COLORS)] for scene in scenes]
others = [article(f"{c} {scene.things[0].shape}") for c, scene in zip(turned, scenes)]
strengths, edited = (0.2, 0.4, 0.6, 0.8, 1.0), []
for strength in strengths:
    with torch.no_grad():
        predict, noise = generator.predictor(others), generator.noise(seeds)
        x = edit(predict, generator.model.schedule, start, strength, noise, way, **sampling)
        edited.append(generator.model.space.to_images(x).clamp(-1, 1))

# %%
for strength, batch in zip(strengths, edited):
    color = np.mean([said == c for said, c in zip(judge.names(batch)["color"], turned)])
    lines = agreement(canny(batch), asked)[2]
    print(f"strength {strength:.1f}: new colour {color:.2f}, F of the old edges {lines:.2f}")
few = min(4, count)
rows = torch.stack([images[:few], *(batch[:few] for batch in edited)], dim=1).flatten(0, 1)
titles = [t for prompt in others[:few] for t in (f"to: {prompt}", *map(str, strengths))]
print("figure:", plots.image_grid(rows, titles, out / "strengths.png", columns=6))

# %% [markdown]
# **Answer.** At about half the strength. The new colour costs the old place and shape: one number
# trades the one for the other. A hole keeps what is outside, and control keeps the lines.

# %% [markdown]
# ## In the field's words
#
# **ControlNet**: a trainable copy of the encoder with **zero convolutions**, on a frozen base; the
# kinds of control image are **conditioning maps** (edges, depth, pose). Edges by **Canny**:
# smoothing, gradient, **non-maximum suppression**, double threshold with **hysteresis**. Filling a
# hole: **inpainting**, here by **RePaint** (known pixels are noised and pasted at each step, with
# **resampling jumps**). Starting from a noised image: **SDEdit** (image-to-image); its noise level
# is the **denoising strength**. A mask from words is **text-driven segmentation** by differences of
# predictions (as DiffEdit).
#
# **Left out here:** Real depth and pose estimators (here "depth" is a silhouette with a level a
# thing, and "pose" a cross), models trained for inpainting with the mask as input, adapters
# (T2I-Adapter, LoRA), and edits by attention (prompt-to-prompt).
#
# All terms, with their files: [glossary](glossary.md).

# %% [markdown]
# ## Three questions
#
# For pen and paper; the answers are in [answers.md](answers.md).
#
# 1. Why does a ControlNet begin as exactly the base model, and why do its zero convolutions learn
#    all the same?
#
# 2. RePaint pastes the known region at each step. Why is the seam visible if it never jumps back?
#
# 3. SDEdit with strength 1 and with strength 0: what comes out?

# %% [markdown]
# ## What was reached

# %%
report(
    "F of the edges, with control",
    scores["with control"][2],
    0.7,
    unjudged=options.unjudged,
)
