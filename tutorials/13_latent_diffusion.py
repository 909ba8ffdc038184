"""Lesson 13, latent diffusion: draw small, then make it large.

Question: an image of 32 x 32 pixels is 3072 numbers, and most of them say what their neighbours say.
What is left when an image is squeezed into 256, and is it easier to draw there?

Time: about 3 minutes on two cores with the generator and the judge of lesson 12 there, 9 more where
they must be trained first (`--quick`: about 15 s). Images go to runs/13_latent_diffusion/
(`--quick`: to runs/13_latent_diffusion_quick/).
Read beside it: scratchmm/diffusion/vae.py, then scratchmm/diffusion/latent.py and
scratchmm/training/small_generator.py.
Exercises: vae.draw, vae.kl_to_normal, vae.measure
(`python -m scratchmm learn check vae.draw`).
Papers: High-Resolution Image Synthesis with Latent Diffusion Models (arXiv 2112.10752), sections 3.1,
3.2 and 4.1, appendix G; Auto-Encoding Variational Bayes (arXiv 1312.6114), sections 2.4 and appendix B.
"""

# %% [markdown]
# # Latent diffusion
#
# Lessons 11 and 12 took noise away, number by number. At 512 x 512 pixels that is 786,432 numbers,
# fifty times over. So the work is split: one network learns once how images look, and squeezes them
# into a small grid; diffusion then draws in that grid, where a step is cheap.
#
# By the end you can say what squeezing loses, what keeps the small grid in order and what it costs
# (the *KL term*), why latents, the numbers of that grid, are scaled before any noise is added, and
# measure whether it was worth it.

# %%
import copy
import time
from pathlib import Path

import matplotlib.pyplot as plt
import torch

# %%
from scratchmm import plots
from scratchmm.apps.image_studio.models import cache_folder
from scratchmm.data.world.captioned import captioned
from scratchmm.data.world.images import draw_many
from scratchmm.data.world.scenes import split_combinations
from scratchmm.diffusion import vae as vaes
from scratchmm.diffusion.latent import LatentSpace, TextToImage
from scratchmm.diffusion.schedule import cosine_schedule, mix
from scratchmm.diffusion.text_unet import TextUNet, TextUNetConfig
from scratchmm.language.text_transformer import TextConfig, TextTransformer
from scratchmm.lesson import LessonParser, report
from scratchmm.training import attribute_classifier, generator_stages, small_generator
from scratchmm.training.fit import fit
from scratchmm.training.precision import fast_precision
from scratchmm.training.sampling import seeded, shuffled_batches

# %%
parser = LessonParser(__doc__, devices=False)
options = parser.read("")  # in a notebook, flags go here: "--quick --steps 50"
quick = "_quick" * options.quick
out = options.folder("13_latent_diffusion")

# %% [markdown]
# The generator of lesson 12, and the judge: a classifier of real images, which says what an image
# shows. Both are trained where they are not there yet.

# %%
less = {"scenes": 400, "space_steps": 20, "read_steps": 20, "steps": 20} if options.quick else {}
shared = small_generator.open_generator(
    Path("runs/generator" + quick), others=[cache_folder()], progress=True, say=print, **less
)
few = {"steps": 20} if options.quick else {}
judge = attribute_classifier.open_attribute_classifier(
    Path("runs/judge" + quick) / "judge.pt", progress=True, say=print, **few
)
space = shared.model.space  # images to latents and back
vae = space.vae

# %%
count = 100 if options.quick else 600
seen, unseen = split_combinations()
scenes = captioned(count, seen, seed=options.seed + 1001).scenes
new = captioned(count, unseen, seed=options.seed + 1002).scenes
images, new_images = draw_many(scenes), draw_many(new)


# %% [markdown]
# ## Squeezed
#
# First 2 x 2 pixels make one cell, as in lesson 11. Then the encoder halves the grid again and
# again, with convolutions between; the decoder doubles it. Both together are an autoencoder. All
# that gets from one to the other is the grid in the middle. Training asks for the same image back,
# and, for a very small price that this lesson comes to, for numbers that do not run away.
#
# **Question.** These images were never trained on. Which of colour, shape, size and texture comes
# through best, and which worst?


# %%
@torch.no_grad()
def restored(images, space=space):
    """Images (B, 3, 32, 32) through the narrow place and back."""
    latents = space.to_latents(images, seeded(options.seed, 7))
    return space.to_images(latents).clamp(-1, 1)


latents = space.to_latents(images[:1], torch.Generator().manual_seed(options.seed))
print(f"an image: {images[0].numel()} numbers, {tuple(images[0].shape)}")
print(f"its latents: {latents[0].numel()} numbers, {tuple(latents[0].shape)}")
print(f"{images[0].numel() // latents[0].numel()} times fewer")


# %%
def show(axis, cell):
    """One image (3, H, W) in [-1, 1], or one channel of latents (1, X, Y) in colours."""
    axis.set(xticks=[], yticks=[])
    axis.spines[:].set_visible(False)
    if len(cell) == 1:
        axis.imshow(cell[0], vmin=-2.5, vmax=2.5)
    else:
        axis.imshow(((cell + 1) / 2).clamp(0, 1).permute(1, 2, 0))


# %%
def strip(rows, name, titles=(), heading=None):
    """Saves a row of images for each label, with titles over the columns."""
    shape = (len(rows), len(next(iter(rows.values()))))
    size = (1.5 + shape[1], 0.35 + 0.25 * bool(heading) + 1.04 * shape[0])
    figure, axes = plt.subplots(*shape, figsize=size, layout="constrained", squeeze=False)
    for line, (label, row) in zip(axes, rows.items()):
        line[0].set_ylabel(label, rotation=0, ha="right", va="center")
        for axis, cell in zip(line, row):
            show(axis, cell)
    for axis, title in zip(axes[0], titles):
        axis.set_title(title, fontsize=8)
    figure.suptitle(heading)
    print("figure:", plots.save(figure, out / name))


# %%
back, new_back = restored(images), restored(new_images)
textures = [scene.things[0].texture for scene in scenes]
kinds = ("plain", "striped", "dotted")
picked = [i for kind in kinds for i in [j for j, t in enumerate(textures) if t == kind][:3]]
lost = (images - back)[picked].abs().amax(dim=1, keepdim=True)  # of the three colours the worst
rows = {"original": images[picked], "restored": back[picked]}
rows["lost"] = lost.expand(-1, 3, -1, -1) - 1  # black: nothing
strip(rows, "restored.png", [textures[i] for i in picked])


# %%
def table(rows):
    """Prints what the judge found, a row a name, a column a property."""
    properties = list(next(iter(rows.values())))
    print(f"{'':42}" + "".join(f"{name:>9}" for name in properties))
    for name, row in rows.items():
        print(f"{name:42}" + "".join(f"{row[key]:9.3f}" for key in properties))


judged = {"original": attribute_classifier.accuracy(judge, scenes, images)}
judged["restored"] = attribute_classifier.accuracy(judge, scenes, back)
judged["original, unseen combinations"] = attribute_classifier.accuracy(judge, new, new_images)
judged["restored, unseen combinations"] = attribute_classifier.accuracy(judge, new, new_back)
table(judged)
fell = {key: judged["original"][key] - judged["restored"][key] for key in judged["original"]}
print("lost most:", max(fell, key=fell.get), " lost least:", min(fell, key=fell.get))

# %% [markdown]
# **Answer.** What is large comes through: a colour is one number for many pixels. What is fine is
# paid for dearly, a number or more for each stripe, and weighs little in a squared error. The same
# can be read off the images' waves: the share of each band that is restored, from coarse to fine.

# %%
waves, missing = (torch.fft.fft2(part).abs().square() for part in (images, images - back))
steps_across = torch.fft.fftfreq(32) * 32
fineness = (steps_across[:, None].square() + steps_across.square()).sqrt()  # waves an image
for low, high in ((0.5, 2), (2, 4), (4, 8), (8, 16)):
    band = (fineness >= low) & (fineness < high)
    share = 1 - missing[..., band].sum() / waves[..., band].sum()
    weight = waves[..., band].sum() / waves[..., fineness >= 0.5].sum()
    print(
        f"{low:4} to {high:2} waves an image: restored {share:6.1%} (it has {weight:5.1%} of all)"
    )

# %% [markdown]
# ### Drawn, not a point
#
# The encoder does not give latents but a normal distribution for each number: a mean and a
# variance. What the decoder gets is drawn from it. **Question.** Why would one blur one's own
# message?
#
# First see what that blur does. Four draws from the same distribution, restored:

# %%
two = images[picked[::3]]
with torch.no_grad():
    posterior = vae.encode(space.fold(two))
    draws = [vaes.draw(posterior, seeded(options.seed, i)) for i in range(4)]
    drawn = torch.stack([space.to_images(z * vae.scale) for z in draws], dim=1)
deviation = (posterior.log_variance / 2).exp()
print(f"deviation of a draw: median {deviation.median():.3f}")
print(f"deviation of the means over the images: {posterior.mean.std():.3f}")
rows = {f"{textures[i]}": torch.cat([p[None], d]) for i, p, d in zip(picked[::3], two, drawn)}
strip(rows, "drawn.png", ["original", *[f"draw {i + 1}" for i in range(4)]])

# %% [markdown]
# **Answer.** So that what lies *near* an image's latents is that image, too. The decoder has met
# the neighbourhood, not only the points, and diffusion, which never hits a point exactly, will end
# in it. `draw` is mean + deviation * noise; the chance comes from outside, so both get a gradient:

# %%
mean, log_variance = torch.zeros(1, 1, 1, 1), torch.zeros(1, 1, 1, 1)
gaussian = vaes.Gaussian(mean.requires_grad_(), log_variance.requires_grad_())
z = vaes.draw(gaussian, seeded(options.seed, 3))
z.sum().backward()
print(f"drawn {z.item():.3f}: that is the noise, as mean and log variance are 0")
print(
    f"gradient of the mean {mean.grad.item():.3f}, of the log variance {log_variance.grad.item():.3f}"
)

# %% [markdown]
# (Half the noise, for the deviation is exp(log variance / 2).)
#
# Left alone, the encoder would make the variance nothing, or the means huge, which is the same. The
# KL term asks a price for that: 1/2 sum(mean^2 + variance - 1 - log variance), the Kullback-Leibler
# divergence from a standard normal distribution: zero where every number is standard normal and
# says nothing of the image. It is counted in nats, which are bits times log 2. For one number:

# %%
for m, v in ((0.0, 1.0), (1.0, 1.0), (1.0, 0.1), (1.0, 0.01), (3.0, 0.01)):
    cell = vaes.Gaussian(torch.full((1, 1, 1, 1), m), torch.full((1, 1, 1, 1), v).log())
    print(f"mean {m:3}, variance {v:4}: {vaes.kl_to_normal(cell).item():5.2f} nats")

# %% [markdown]
# ### How much KL
#
# Three small autoencoders, alike but for the weight of the KL term, a few hundred steps each.
# **Question.** Which restores images best? Of which will the decoder forgive latents that are a
# little off?

# %%
training = captioned(500 if options.quick else 6000, seen, seed=options.seed)
learned = draw_many(training.scenes)
weights = {"0": 0.0, "0.0001": 1e-4, "0.1": 0.1}


# %%
def squeeze(weight, steps):
    """A small autoencoder's space after a short training with this KL weight."""
    torch.manual_seed(options.seed)
    sizes = vaes.VAEConfig(12, 16, widths=(16, 32, 48), depth=1, groups=8)
    small = LatentSpace(2, vaes.VAE(sizes))
    folded, indices = small.fold(learned), shuffled_batches(len(learned), 32, options.seed)
    settings = {"learning_rate": 3e-3, "seed": options.seed, "precision": fast_precision()}
    price = lambda model, batch: generator_stages.squeezing_loss(model, batch, weight)  # noqa: E731
    fit(
        small.vae, lambda step: folded[indices(step)], price, steps=steps, progress=True, **settings
    )
    small.vae.eval().measure(folded[:500], seeded(options.seed, 0))
    return small


# %%
steps_of_drawing = options.training_steps(1000, quick=5)
steps = options.other_steps(450, quick=10)
spaces = {name: squeeze(weight, steps) for name, weight in weights.items()}
tried = {}
for name, small in spaces.items():
    with torch.no_grad():
        said = small.vae.encode(small.fold(images))
        off = small.to_latents(images, seeded(options.seed, 7))
        off = off + 0.5 * torch.randn(off.shape, generator=seeded(options.seed, 8))
        off = small.to_images(off).clamp(-1, 1)
    here = restored(images, small)
    tried[name] = {"restored": here[picked], "a little off": off[picked]}
    errors = [(images - x).square().mean().item() for x in (here, off)]
    nats, wide = vaes.kl_to_normal(said).mean().item(), (said.log_variance / 2).exp().mean()
    print(f"KL weight {name:7} squared error {errors[0]:.4f}, a little off {errors[1]:.4f}")
    print(f"{'':17} {nats:7.0f} nats; means deviate by {said.mean.std():.2f}, draws by {wide:.3f}")

# %%
rows = {"original": images[picked]}
for name, made in tried.items():
    rows |= {f"KL {name},\n{label}": part for label, part in made.items()}
strip(
    rows, "kl_weight.png", heading="three weights; 'off': half a deviation of noise in the latents"
)

# %% [markdown]
# **Answer.** Read the second lines first. Without a price the latents carry the most nats, and a draw
# deviates least beside its means: they are on the way to being points. The largest weight makes
# silence the cheapest: next to no nats, and an image that is the mean of many, by far the worst
# restored. A small weight costs little and keeps the size of latents known; how much each forgives,
# say the two errors of each first line: the second less the first.
#
# ### Between two images
#
# **Question.** Half of one image and half of another: what will it look like in pixels, and what
# if the halves are taken of latents?

# %%
pair = [
    picked[0],
    next(i for i in picked if scenes[i].things[0].shape != scenes[picked[0]].things[0].shape),
]
with torch.no_grad():
    ends = vae.encode(space.fold(images[pair])).mean * vae.scale
    between = torch.linspace(0, 1, 7)
    rows = {"pixels": torch.stack([torch.lerp(*images[pair], part) for part in between])}
    rows["latents"] = space.to_images(torch.stack([torch.lerp(*ends, part) for part in between]))
titles = [f"{part:.2f}" for part in between.tolist()]
strip(rows, "between.png", titles, "from one image to another")
apart = (rows["pixels"] - rows["latents"]).square().mean((1, 2, 3))
print("squared difference of the two rows:", " ".join(f"{d:.3f}" for d in apart))

# %% [markdown]
# **Answer.** Pixels give two ghosts, one over the other, whatever the images. The decoder has
# learned how images look, and makes of what lies between mostly one thing that is bent into the
# other, with forms and colours on the way that neither has (other pairs: `--seed`). So latents are
# a canvas that knows about edges, not yet about meanings: for a way from one meaning to another one
# goes through embeddings, as lesson 15 does.
#
# ## A deviation of one
#
# Noise has a deviation of 1, whatever it is added to. **Question.** What happens to latents that
# are four times as large? Or a quarter?

# %%
with torch.no_grad():
    raw = vaes.draw(vae.encode(space.fold(images)), seeded(options.seed, 7))
print(f"deviation of latents as they come {raw.std():.3f}; the scale kept {vae.scale:.3f}")
print(f"deviation of latents times the scale {(raw * vae.scale).std():.3f}")
fresh = copy.deepcopy(vae)
fresh.scale.fill_(1.0)
fresh.measure(space.fold(images), seeded(options.seed, 7))
print(f"measured anew, on these images: {fresh.scale:.3f}, which is 1 / {1 / fresh.scale:.3f}")

# %% [markdown]
# One number for all channels, measured once, after the autoencoder's training and before
# diffusion's. Here are latents of three sizes with the same noise, decoded at their own size, and
# below, how much of what the model sees is image: the correlation of noisy latents with clean ones.

# %%
schedule, factors = shared.model.schedule, {"a quarter": 0.25, "right": 1.0, "four times": 4.0}
times = torch.tensor([0, 40, 80, 120, 160, 199])
one = (raw * vae.scale)[picked[:1]].expand(len(times), -1, -1, -1)
noise = torch.randn(one[:1].shape, generator=seeded(options.seed, 9)).expand_as(one)
rows = {}
for name, factor in factors.items():
    mixed = mix(factor * one, noise, schedule.at(times))
    with torch.no_grad():
        rows[name] = space.to_images(mixed / factor)
strip(rows, "scale.png", [f"step {t}" for t in times.tolist()], "noise on latents of three sizes")

# %%
alpha = schedule.at(times)
print(f"{'step':12}" + "".join(f"{t:8}" for t in times.tolist()))
for name, factor in factors.items():
    signal = factor**2 * alpha
    print(f"{name:12}" + "".join(f"{x:8.3f}" for x in (signal / (signal + 1 - alpha)).sqrt()))

# %% [markdown]
# **Answer.** Too small, and noise drowns them within the first fifth of the steps: most of the
# training asks for what cannot be known. Too large, and most of the steps have hardly any noise:
# what an image is to become is left to the last few of them, in leaps. The schedule was made for a
# deviation of 1. Stable Diffusion's 0.18215 is this number, of its own autoencoder.
#
# ## Drawing in latents
#
# Now the generator at work: 20 steps from noise. **Question.** Three rows: the noisy latents,
# decoded as if they were done; what the model takes the clean image to be, decoded; and of that
# guess three of the channels. In which row will you see the thing first?

# %%
prompt = "a large red ring"
path = list(shared.path([prompt], seeds=[options.seed + 5], steps=20))
shown = [0, 1, 3, 5, 8, 11, 14, 17, 19]
with torch.no_grad():
    rows = {"noisy, decoded": [space.to_images(path[i].x)[0] for i in shown]}
    rows["guess, decoded"] = [space.to_images(path[i].start)[0] for i in shown]
loud = path[-1].start[0].flatten(1).std(dim=1).topk(3).indices.tolist()  # where most goes on
for channel in loud:
    rows[f"guess, channel {channel}"] = [path[i].start[0, channel : channel + 1] for i in shown]
strip(rows, "on_the_way.png", [f"step {i + 1}" for i in shown], prompt)

# %%
said = [judge.names(space.to_images(path[i].start).clamp(-1, 1)) for i in shown]
for i, names in zip(shown, said):
    print(f"step {i + 1:2}: the judge sees {names['color'][0]} {names['shape'][0]}")

# %% [markdown]
# **Answer.** In the guess. It begins as a mean of all the images that the noise leaves open, and
# settles. The decoder has to be asked only once, at the end; here it was asked at
# each step so that you could see.
#
# ## Latents against pixels
#
# Was it worth it? Two small generators, the same words, the same UNet (but for its first and last
# layer) on the same 4 x 4 grid, the same number of images seen. One draws in the latents, 16
# numbers a cell; the other draws pixels folded 8 x 8 to a cell, 192 numbers, of which nothing is
# lost (and predicts the image itself: its noise would not fit through the UNet).
#
# **Question.** Which has the right colours? Which the right shapes?


# %%
def painter(space, channels):
    """A small untrained text-to-image model that draws in this space."""
    torch.manual_seed(options.seed)
    known = {"context_length": small_generator.LENGTH, "end_token": shared.tokenizer.end}
    words = TextTransformer(TextConfig(len(shared.tokenizer), **known, **small_generator.TEXT))
    sizes = {"widths": (96,), "depth": 1, "attended": (), "groups": 8, "heads": 4}
    width = {"word_width": small_generator.TEXT["width"], "hears_words": True}
    unet = TextUNet(TextUNetConfig(channels=channels, **sizes, **width))
    # The noise of 192 pixels does not fit through 96 channels, so there the start is predicted;
    # and pixels have an end to clip at, latents have none.
    kind = {"target": "velocity"} if space.vae else {"target": "start", "clip": 1.0}
    model = TextToImage(unet, words, space, cosine_schedule(200), **kind)
    return small_generator.SmallGenerator(model.eval(), shared.tokenizer, shared.known)


# %%
def sentence(scene):
    (thing,) = scene.things
    return f"a {thing.size} {thing.color} {thing.shape}"


texts = [sentence(scene) for scene in training.scenes]
drawers = {"latents": painter(space, vae.config.latent_channels)}
drawers["pixels"] = painter(LatentSpace(side=8), 3 * 8 * 8)
steps = steps_of_drawing
for name, drawer in drawers.items():
    started = time.perf_counter()
    settings = {"seed": options.seed, "progress": True, "precision": fast_precision()}
    cells = generator_stages.latents_of(drawer.model.space, learned, options.seed)
    generator_stages.train_drawing(drawer, cells, texts, steps=steps, **settings)
    size = sum(p.numel() for p in drawer.model.unet.parameters())
    print(f"{name}: {size} parameters, {steps} steps, {time.perf_counter() - started:.0f} s")

# %%
asked = scenes[: 16 if options.quick else 128]
prompts = [sentence(scene) for scene in asked]
drawers["latents, lesson 12's generator"] = shared
results, drawings = {}, {}
for name, drawer in drawers.items():
    for scale in (1.0, 4.0):
        seeds = range(options.seed, options.seed + len(prompts))
        made = drawer.draw(prompts, seeds=list(seeds), steps=20, scale=scale)
        found = attribute_classifier.accuracy(judge, asked, made)
        results[f"{name}, scale {scale:.0f}"] = {
            key: found[key] for key in ("color", "shape", "size")
        }
        drawings[name] = made
table(results)

# %%
rows = {
    name.replace(", lesson 12's", ",\nlesson 12's\n"): made[:8] for name, made in drawings.items()
}
titles = [text.removeprefix("a ").replace(" ", "\n", 1) for text in prompts[:8]]
strip(rows, "latents_and_pixels.png", titles, "after the same training, and below after a long one")

# %% [markdown]
# **Answer.** Read the table by columns; a shape guessed is right one time in eight, a colour too. A
# colour is known to a cell alone. A shape has to be agreed upon by cells. In latents a cell's 16
# numbers have learned before how a border runs through it. In pixels the UNet has to learn that,
# too, from 192 noisy numbers a cell; but nothing of what it draws goes through a narrow place.
#
# Beside it stands what was paid. The autoencoder had to be trained before, which is not counted
# here, and what it cannot restore cannot be drawn. At 32 x 32 pixels that is a close bargain; at
# 512 x 512, where one autoencoder serves every model after it, it is why such images could be drawn
# at all on one card. The last rows show what patience adds in the same latents.

# %% [markdown]
# ## In the field's words
#
# The autoencoder is a **variational autoencoder** (VAE); drawing with an outside source of chance
# is the **reparameterisation trick**; the price is the **KL regularisation** term, its weight
# beta; too large, and the latents carry nothing: **posterior collapse**. What squeezing loses is
# distortion, the nats are the rate: the **rate-distortion trade-off**. Scaled latents use the
# **scaling factor**. Diffusion there is a **latent diffusion model** (LDM), the design of Stable
# Diffusion.
#
# **Left out here:** Perceptual and adversarial losses, which published autoencoders add (a squared
# error alone blurs), vector quantisation (VQ-VAE, VQGAN), larger images, where the bargain pays
# most, and text encoders of billions of parameters.
#
# All terms, with their files: [glossary](glossary.md).

# %% [markdown]
# ## Three questions
#
# For pen and paper; the answers are in [answers.md](answers.md).
#
# 1. 512 x 512 x 3 pixels become 64 x 64 x 4 latents. By what factor do the numbers shrink, and
#    what does that do to the cost of self-attention over cells?
#
# 2. Why are latents multiplied by a constant before noise is added?
#
# 3. The KL weight is set to 0. The reconstruction is best. Why not use it?

# %% [markdown]
# ## What was reached

# %%
report(
    "shapes that the judge recognises in restored images",
    judged["restored"]["shape"],
    0.75,
    unjudged=options.unjudged,
)
