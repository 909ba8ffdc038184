"""Lesson 16, the text-to-image workbench: many images, and what can be concluded from them.

Question: a model generates what a prompt describes, mostly. Which words of a prompt help, how does
one keep order among a hundred images, and how would one know that they got better?

Time: about 2 minutes on two cores where the generator and the attribute classifier of the earlier
lessons are there, and longer where they are trained first (`--quick`: about 20 s). Images go to
runs/16_text_to_image_workbench/ (`--quick`: to runs/16_text_to_image_workbench_quick/).
Read beside it: scratchmm/apps/image_studio/batch.py and scratchmm/apps/image_studio/manifest.py,
then scratchmm/metrics/image_quality.py and scratchmm/diffusion/editing/style.py.
Exercises: none; `python -m scratchmm generate --help` is the workbench on the command line.
Papers: SDEdit (arXiv 2108.01073); Arbitrary Style Transfer in Real-time with Adaptive Instance
Normalization (arXiv 1703.06868), equation 8; CLIPScore (arXiv 2104.08718).
"""

# %% [markdown]
# # The text-to-image workbench
#
# An image that was chosen from a hundred proves little. By the end you can generate a hundred in an
# experiment, say with an error bar which word changed them, stop and go on without losing one, and
# name a way to fool each number that is said to measure quality.

# %%
import shutil
from dataclasses import replace
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import torch

# %%
from scratchmm import plots
from scratchmm.apps.image_studio.batch import run_batch
from scratchmm.apps.image_studio.jobs import Job, prompts_of, variations
from scratchmm.apps.image_studio.manifest import manifest_of
from scratchmm.apps.image_studio.models import cache_folder
from scratchmm.data.world.images import draw_many
from scratchmm.data.world.scenes import Scene, Thing, sample_scene
from scratchmm.diffusion.ddim import ddim_sample, spaced_timesteps
from scratchmm.diffusion.editing.inpainting import edit
from scratchmm.diffusion.editing.style import in_colours_of, match_colours, refine
from scratchmm.lesson import LessonParser, report, show_curve
from scratchmm.metrics.clip_score import clip_score
from scratchmm.metrics.image_quality import image_quality
from scratchmm.recipes import attribute_classifier, text_to_image
from scratchmm.recipes import clip as clip_recipe
from scratchmm.recipes.artifact import load_or_train
from scratchmm.training.sampling import seeded

# %%
parser = LessonParser(__doc__, devices=False)
options = parser.read("")  # in a notebook, flags go here: "--quick --steps 50"
quick = "_quick" * options.quick
out = options.folder("16_text_to_image_workbench")

# %% [markdown]
# The generator is the one of the lessons before; so is the attribute classifier, which was trained
# on real images only. Whichever is not there yet is trained now.

# %%
settings = text_to_image.SETTINGS
if options.quick:
    settings = replace(settings, scenes=400, autoencoder_steps=20, text_steps=20, steps=20)
settings = replace(settings, **options.steps_given())
print(settings)
folder = options.place("runs/generator")
generator = load_or_train(
    folder, text_to_image, settings, others=[cache_folder()], progress=True, log=print
)
show_curve(folder, out / "training.png")
sizes = {"steps": 20} if options.quick else {}
judge = load_or_train(
    Path("runs/judge" + quick), attribute_classifier, progress=True, log=print, **sizes
)
many, steps = (2, 3) if options.quick else (24, 20)
seeds = [1000 * options.seed + i for i in range(many)]
print(f"words of its vocabulary: {', '.join(sorted(generator.known))}")

# %% [markdown]
# ## Variations
#
# The noise an image begins with is fixed by its seed. **Question.** With the same words and other
# seeds, what stays and what changes?

# %%
prompt, count = "a red ring", min(many, 16)
images = generator.draw([prompt] * count, seeds=seeds[:count], steps=steps)
said = judge.names(images)
titles = [
    " ".join(words) for words in zip(said["size"], said["texture"], said["color"], said["shape"])
]
path = plots.image_grid(images, titles, out / "variations.png", heading=repr(prompt))
print("figure:", path)
for name, names in said.items():
    print(f"{name:8} {', '.join(f'{n} {names.count(n)}' for n in dict.fromkeys(names))}")

# %% [markdown]
# **Answer.** What the words name should stay. What they leave open depends on the seed: place and
# background above all; see in the lists how far this holds for size and texture, of which a model
# under guidance tends to generate one kind only (lesson 12). A single seed shows one choice, so
# nothing is concluded from one.
#
# ## Prompt engineering
#
# People add words to their prompts that are said to help. `prompts_of` makes the product of the
# lists that you name. Here the styles are textures and the qualities are sizes. What is measured
# below are single words: sizes, textures, places, and two that are not in the training captions,
# "beautiful" and "sharp".

# %%
prompts = prompts_of(
    "a {quality} {style} red ring", ["", "striped", "dotted"], ["", "small", "large"]
)
print("\n".join(prompts))
words = {word: f"a {word} red ring" for word in ("small", "large", "plain", "striped", "dotted")}
words |= {word: f"a red ring {word}" for word in ("on the left", "on the right", "at the top")}
words |= {word: f"a {word} red ring" for word in ("beautiful", "sharp")}

# %% [markdown]
# **Question.** Which of these words does the model follow? Guess before you run. Each is measured
# against the bare prompt *with the same seeds*: so the luck of the seeds falls out of the
# difference, and what is left has a standard error from seed to seed. The attribute classifier
# gives size, texture, colour and shape; the place of the thing is the centre of the pixels that
# differ from the border.


# %%
def middle(images):
    """Where the thing lies, from 0 (left, top) to 1: across and down, each (B,)."""
    edges = (images[:, :, 0], images[:, :, -1], images[..., 0], images[..., -1])
    ground = torch.cat(edges, dim=2).median(dim=2).values[..., None, None]
    thing = ((images - ground).abs().sum(dim=1) > 0.5).float()  # (B, H, W)
    place = torch.linspace(0, 1, images.shape[-1])
    weight = thing.sum((1, 2)).clamp(min=1)
    return (thing.sum(1) * place).sum(1) / weight, (thing.sum(2) * place).sum(1) / weight


# %%
def measured(images):
    """What is measured of each image, by name, each (B,)."""
    said, (across, down) = judge.names(images), middle(images)
    wanted = {"red": "color", "ring": "shape", "small": "size", "striped": "texture"}
    wanted |= {"dotted": "texture"}
    found = {
        word: torch.tensor([name == word for name in said[part]]).float()
        for word, part in wanted.items()
    }
    return found | {"across": across, "down": down}


# %%
bare = measured(generator.draw(["a red ring"] * many, seeds=seeds, steps=steps))
print(" " * 14 + "".join(f"{name:>14}" for name in bare))
print(f"{'bare':>14}" + "".join(f"{v.mean():14.2f}" for v in bare.values()))
changes = {}
for word, asked in words.items():
    found = measured(generator.draw([asked] * many, seeds=seeds, steps=steps))
    each = {name: found[name] - bare[name] for name in bare}
    changes[word] = {n: (d.mean().item(), d.std().item() / many**0.5) for n, d in each.items()}
for word, row in changes.items():
    marks = ["*" if abs(d) > 3 * error else " " for d, error in row.values()]
    cells = [f"{d:+.2f} ± {e:.2f}{m}" for (d, e), m in zip(row.values(), marks)]
    print(f"{word:>14}" + "".join(f"{cell:>14}" for cell in cells))

# %%
figure, axis = plt.subplots(figsize=(6.5, 3.6), layout="constrained")
grid = torch.tensor([[d for d, _ in row.values()] for row in changes.values()])
shown = axis.imshow(grid, cmap="RdBu", vmin=-1, vmax=1, aspect="auto")
axis.set_xticks(range(len(bare)), list(bare))
axis.set_yticks(range(len(changes)), list(changes))
for row, values in enumerate(changes.values()):
    for column, (d, error) in enumerate(values.values()):
        text = f"{d:+.2f}" + "*" * (abs(d) > 3 * error)
        color = "white" if abs(d) > 0.6 else "black"
        axis.text(column, row, text, ha="center", va="center", fontsize=8, color=color)
axis.set_title("change against the bare prompt (*: more than 3 standard errors)")
figure.colorbar(shown, ax=axis)
print("figure:", plots.save(figure, out / "words.png"))

# %% [markdown]
# **Answer.** Read each word's row at the column that it names; a change without a star may be luck.
# In a table of so many cells a change of 2 standard errors somewhere is expected of words that do
# nothing, so the star asks for 3. Where no seed changed, the error is 0 as well: that says that
# these seeds did not show a change, not that there is none. A word that is not in the training
# captions is still split into tokens of the vocabulary: it can change images, even their colour,
# but has no meaning for the model.
#
# ## A batch
#
# Each image of a batch is a job: prompt, seed, steps, scale. Each is written whole, and then a line
# about it is put in manifest.jsonl. One of the prompts here is refused, and after some of the
# images the run is interrupted.

# %%
folder = out / "batch"
shutil.rmtree(folder, ignore_errors=True)
colours, shapes = ("red", "green", "blue", "yellow"), ("ring", "star", "cross")
asked = [f"a {colour} {shape}" for colour in colours for shape in shapes]
jobs = [Job(prompt, steps=steps) for prompt in [*asked[:2], "elephant", *asked[2:]]]
jobs = variations(jobs, seeds[: 2 if options.quick else 4])
drawn, plug = [], [len(jobs) // 2]


def draw(prompts, **settings):
    """The generator as the batch calls it, interrupted once."""
    images = generator.draw(prompts, **settings)  # refuses the elephant
    if len(drawn) >= plug[0]:
        raise KeyboardInterrupt
    drawn.extend(prompts)
    return images


# %%
def score(image, prompt):
    """The scores of an image for its line in the manifest."""
    said = judge.names(image[None])
    found = {n: v.item() for n, v in image_quality(image[None])._asdict().items()}
    return found | {name: float(said[name][0] in prompt) for name in ("color", "shape")}


try:
    run_batch(jobs, draw, folder, score=score, batch_size=4)
except KeyboardInterrupt:
    print(f"stopped: {len(manifest_of(folder))} of {len(jobs)} lines stand in the manifest")
before, plug[0] = len(drawn), len(jobs) + 1
entries = run_batch(jobs, draw, folder, score=score, batch_size=4)
print(f"the second call drew {len(drawn) - before} more")
failed = [entry for entry in entries if entry["error"]]
done = [entry for entry in entries if entry["file"]]
print(f"{len(done)} images; {len(failed)} failed, the first because {failed[0]['error']}")
print("figure:", plots.show(folder / "contact_sheet.png"))

# %%
assert len(done) + len(failed) == len(jobs) and {e["prompt"] for e in failed} == {"elephant"}
right = {name: [entry["scores"][name] for entry in done] for name in ("color", "shape")}
share = {name: sum(row) / len(row) for name, row in right.items()}
for name, value in share.items():
    error = (value * (1 - value) / len(done)) ** 0.5
    print(f"{name} as the prompt says: {value:.3f} ± {error:.3f} of {len(done)}")

# %% [markdown]
# ## How good is an image?
#
# Three numbers need no model. *Contrast* is the deviation of brightness; *colourfulness* says how
# strong and different colours are; *sharpness* is the variance of the Laplacian, much where there
# are edges. **Question.** How would you make a bad image that scores well in each?

# %%
rng = np.random.default_rng(options.seed)
real = draw_many([sample_scene(rng) for _ in range(max(many, 8))])
made = generator.draw(asked, seeds=range(len(asked)), steps=steps)
noise = torch.rand(real.shape, generator=seeded(options.seed, 0)) * 2 - 1
board = (torch.arange(32)[:, None] + torch.arange(32)) % 2 * 2.0 - 1
blurred = torch.nn.functional.avg_pool2d(real, 3, stride=1, padding=1, count_include_pad=False)
sets = {"real": real, "generated": made, "real, blurred": blurred, "noise": noise}
sets |= {"chess board": board.expand(2, 3, 32, 32), "real, burned out": (4 * real).clamp(-1, 1)}
print(" " * 18 + "".join(f"{name:>15}" for name in ("contrast", "colourfulness", "sharpness")))
for name, batch in sets.items():
    print(f"{name:18}" + "".join(f"{v.mean():15.3g}" for v in image_quality(batch)))

# %%
shown = torch.stack([batch[0] for batch in sets.values()])
titles = [f"{name}: sharp {image_quality(batch).sharpness[0]:.0f}" for name, batch in sets.items()]
print("figure:", plots.image_grid(shown, titles, out / "quality.png", columns=6))

# %% [markdown]
# **Answer.** A chess board has all the contrast there can be, and noise is sharper than any real
# image. None of the three depends on the prompt. They are for comparing: as much as real images
# have, of the same size, is a good sign, more is not better. *CLIPScore* does depend on the prompt.
# If lesson 05 left its CLIP here, it scores images with their own prompt and with another one.

# %%
place = Path("runs/05_clip" + quick)
if (place / "model.pt").exists():
    clip = clip_recipe.load(place)
    meanings, texts = clip.embed_images(made), clip.embed_texts(asked)
    for name, told in (("own prompt", texts), ("another one", texts.roll(1, 0))):
        scores = clip_score(meanings, told)
        error = scores.std() / len(scores) ** 0.5
        print(f"CLIPScore, {name}: {scores.mean():.3f} ± {error:.3f}")
else:
    print(f"no CLIP in {place}: run lesson 05 for CLIPScores")

# %% [markdown]
# It can be fooled by whatever its CLIP does not encode: see lesson 06 for the sentences it
# confuses. (Its unit: 2.5 * max(cosine, 0), so from 0 to 2.5; lesson 12.)
#
# ## The colours of another image
#
# Equation 8 of AdaIN gives each channel of the content the mean and deviation of the style.
# `match_colours` does so once, to pixels. `in_colours_of` does so at every step, to the predicted
# x0 (in latents), and sampling goes on from there. **Question.** Which of the two comes closer to
# the style's colours, and which of them is still a ring?

# %%
style = draw_many([Scene((Thing("square", "cyan", zoom=1.5),), (0.1, 0.25, 0.12))])
space, schedule = generator.model.space, generator.model.schedule
way, sampling = spaced_timesteps(len(schedule), steps), generator.model.sampling()
asked_now, begun = ["a red ring"] * count, generator.noise(seeds[:count])
predict = generator.predictor(asked_now)
with torch.no_grad():
    styled = in_colours_of(predict, schedule, space.to_latents(style, seeded(0, 0)), **sampling)
    on_the_way = space.to_images(ddim_sample(styled, schedule, begun, way, **sampling)).clamp(-1, 1)
once = match_colours(images, style).clamp(-1, 1)

# %%
for name, batch in (("as generated", images), ("matched once", once), ("at each step", on_the_way)):
    far = (batch.mean((2, 3)) - style.mean((2, 3))).abs().mean()
    ring = judge.names(batch)["shape"].count("ring") / len(batch)
    print(f"{name:14} error of the mean colour {far:.3f}, still a ring: {ring:.2f}")
shown = torch.cat(
    [style, *(part[i : i + 1] for i in range(2) for part in (images, once, on_the_way))]
)
titles = ["style", *["as generated", "matched once", "at each step"] * 2]
print("figure:", plots.image_grid(shown, titles, out / "colours.png", columns=7))

# %% [markdown]
# **Answer.** Matched once, the colours are nearly those of the style, for that is what is done
# last; but each pixel is changed without regard to what it shows, and rings suffer. Matched at each
# step, the model still denoises afterwards: colours come only part of the way, and more rings stay
# rings.
#
# ## An image and another prompt
#
# SDEdit adds noise to an image and denoises it with a prompt. **Question.** At which strength does
# a red ring become a blue star? Is there one where something of both is left?

# %%
things = [
    Thing("ring", "red", x=x, y=y, zoom=1.3) for x, y in rng.uniform(0.35, 0.65, (many, 2)).tolist()
]
content = draw_many([Scene((thing,)) for thing in things])
with torch.no_grad():
    latents = space.to_latents(content, seeded(options.seed, 2))
predict, begun = generator.predictor(["a blue star"] * many), generator.noise(seeds)
strengths, rows, strip = (0.2, 0.4, 0.6, 0.8, 1.0), [], [content[0]]
for strength in strengths:
    with torch.no_grad():
        x = edit(predict, schedule, latents, strength, begun, way, **sampling)
        x = space.to_images(x).clamp(-1, 1)
    said = judge.names(x)
    tell = [("color", "red"), ("shape", "ring"), ("color", "blue"), ("shape", "star")]
    rows.append({word: said[part].count(word) / many for part, word in tell})
    strip.append(x[0])
    print(f"strength {strength}: " + ", ".join(f"{k} {v:.2f}" for k, v in rows[-1].items()))

# %%
figure, axis = plt.subplots(figsize=(5.5, 3), layout="constrained")
for word, color in zip(rows[0], plots.LINES):
    kept = "-" if word in ("red", "ring") else "--"
    axis.plot(strengths, [row[word] for row in rows], kept, marker="o", color=color, label=word)
axis.set(
    xlabel="strength", ylabel="share, as classified", title="content (solid) and prompt (dashed)"
)
axis.legend(frameon=False, loc="upper left", bbox_to_anchor=(1, 1))
print("figure:", plots.save(figure, out / "strengths.png"))
titles = ["content", *(f"strength {strength}" for strength in strengths)]
print("figure:", plots.image_grid(torch.stack(strip), titles, out / "edited.png", columns=6))

# %% [markdown]
# **Answer.** Where the curves cross. Noise hides the colour only when it is strong, but this model
# loses colour and shape together, between strengths 0.2 and 0.4: there is little room for a blue
# ring or a red star.

# %% [markdown]
# ## In the field's words
#
# **Prompt engineering**: subject, **style modifiers**, **negative prompts**, seeds and the guidance
# scale. Trying all combinations is a **grid search** (a prompt matrix). Denoising a first result
# again at low strength is **refinement** (image-to-image). A file that records how each image was
# made is its **provenance** (metadata); the same line gives the same image: **reproducibility**.
# Measures without a reference (sharpness, contrast, colourfulness) are **no-reference image
# quality** metrics.
#
# **Left out here:** Aesthetic predictors and preference models, prompt weighting, safety filters,
# watermarks, and learned upscaling.
#
# All terms, with their files: [glossary](glossary.md).

# %% [markdown]
# ## Three questions
#
# For pen and paper; the answers are in [answers.md](answers.md).
#
# 1. You compare two guidance scales with one image each. What is wrong, and what is the least that
#    would do?
#
# 2. Which entries must a manifest hold so that an image can be generated again, bit for bit?
#
# 3. Sharpness rises with the guidance scale. Are the images better?

# %% [markdown]
# ## Refined by stages
#
# First generated in few steps, then noised a little and denoised again with more. **Question.**
# Does a stage correct the errors of the one before, or only refine details? Beside the stages
# stands an image that was generated with all the steps at once.

# %%
asked_now = [f"a {colour} {shape}" for colour in colours for shape in shapes][: max(2, many // 2)]
noises = [generator.noise([s + 100 * i for s in range(len(asked_now))]) for i in range(3)]
predict, counts = generator.predictor(asked_now), (2, 3, 4) if options.quick else (4, 10, 20)
with torch.no_grad():
    stages = refine(predict, schedule, noises, counts, strength=0.4, **sampling)
    stages.append(ddim_sample(predict, schedule, noises[0], way, **sampling))
    stages = [space.to_images(stage).clamp(-1, 1) for stage in stages]
names = [*(f"stage {i}" for i in range(1, 4)), "at once"]
for name, stage in zip(names, stages):
    said, sharp = judge.names(stage), image_quality(stage).sharpness.mean()
    good = [sum(w in p for w, p in zip(said[part], asked_now)) for part in ("color", "shape")]
    print(
        f"{name}: colour right {good[0]}, shape right {good[1]} of {len(asked_now)}; sharp {sharp:.0f}"
    )

# %%
some = min(4, len(asked_now))
shown = torch.stack([stage[i] for i in range(some) for stage in stages])
titles = [f"{name}: {asked_now[i]}" for i in range(some) for name in names]
print("figure:", plots.image_grid(shown, titles, out / "stages.png", columns=4))

# %% [markdown]
# **Answer.** Hardly: each stage repeats only the last part of the sampling, and by then the shape
# is settled. Compare the counts before you trust the look of one row: these are few images, and one
# more or less is luck. Each stage costs its steps; the fair comparison is the one generated at
# once.
#
# On the command line: `python -m scratchmm generate "a red ring" --styles striped,dotted
# --qualities small,large --count 4`

# %%
report("colour of a batch as its prompts say", share["color"], 0.85, unjudged=options.unjudged)
