"""Lesson 13, latent diffusion: generate small latents, then decode them.

Question: an image of 32 x 32 pixels is 3072 numbers, and most of them repeat what their neighbours
say. What is left when an image is compressed to 256 numbers, and is it easier to generate those?

Time: about 3 minutes on two cores with the generator and the attribute classifier of lesson 12
there, 9 more where they must be trained first (`--quick`: about 15 s). Images go to
runs/13_latent_diffusion/ (`--quick`: to runs/13_latent_diffusion_quick/).
Read beside it: scratchmm/diffusion/vae.py, then scratchmm/diffusion/latent.py and
scratchmm/recipes/text_to_image.py.
Exercises: vae.draw, vae.kl_to_normal, vae.fit_scale
(`python -m scratchmm learn check vae.draw`).
Papers: High-Resolution Image Synthesis with Latent Diffusion Models (arXiv 2112.10752), sections
3.1, 3.2 and 4.1, appendix G; Auto-Encoding Variational Bayes (arXiv 1312.6114), sections 2.4 and
appendix B.
"""

# %% [markdown]
# # Latent diffusion
#
# Lessons 11 and 12 removed noise from every number of an image. At 512 x 512 pixels that is 786,432
# numbers, fifty times over. So the work is split: one network, an autoencoder, is trained once to
# compress images to a small grid; diffusion then generates that grid, where a step is cheap.
#
# By the end you can say what the compression loses, what regularises the small grid and what it
# costs (the *KL term*), why latents, the numbers of that grid, are scaled before any noise is
# added, and measure whether it was worth it.

# %%
import copy
import time
from dataclasses import replace
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
from scratchmm.diffusion.process import cosine_schedule, mix
from scratchmm.diffusion.unet import UNet, stable_diffusion_v1
from scratchmm.language.text_transformer import TextTransformer
from scratchmm.lesson import LessonParser, report, show_curve
from scratchmm.recipes import attribute_classifier, text_to_image
from scratchmm.recipes.artifact import load_or_train
from scratchmm.recipes.generator import TrainedTextToImage, latents_of
from scratchmm.training.fit import fit
from scratchmm.training.precision import fast_precision
from scratchmm.training.sampling import seeded, shuffled_batches

# %%
parser = LessonParser(__doc__, devices=False)
options = parser.read("")  # in a notebook, flags go here: "--quick --steps 50"
quick = "_quick" * options.quick
out = options.folder("13_latent_diffusion")

# %% [markdown]
# The generator of lesson 12, and the attribute classifier: trained on real images, it predicts
# colour, shape, size and texture. Both are trained where they are not there yet.

# %%
recipe = text_to_image.SETTINGS
if options.quick:
    recipe = replace(recipe, scenes=400, autoencoder_steps=20, text_steps=20, steps=20)
print(recipe)
folder = Path("runs/generator" + quick)
shared = load_or_train(
    folder, text_to_image, recipe, others=[cache_folder()], progress=True, log=print
)
for stage, name in (
    ("autoencoder", "autoencoder"),
    ("text_encoder", "text_encoder"),
    (".", "unet"),
):
    show_curve(folder / stage, out / f"training_{name}.png")
few = {"steps": 20} if options.quick else {}
judge = load_or_train(
    Path("runs/judge" + quick), attribute_classifier, progress=True, log=print, **few
)
space = shared.model.space  # images to latents and back
vae = space.autoencoder

# %%
count = 100 if options.quick else 600
seen, unseen = split_combinations()
scenes = captioned(count, seen, seed=options.seed + 1001).scenes
new = captioned(count, unseen, seed=options.seed + 1002).scenes
images, new_images = draw_many(scenes), draw_many(new)


# %% [markdown]
# ## Compressed
#
# First 2 x 2 pixels make one cell, as in lesson 11. Then the encoder halves the grid again and
# again, with convolutions between; the decoder doubles it. Both together are an autoencoder. The
# decoder's only input is the grid in the middle: the bottleneck. The training loss is the error of
# the reconstructed image, plus a very small penalty, to which this lesson comes, that keeps the
# latents from growing.
#
# **Question.** These images are not in the training set. Which of colour, shape, size and texture
# is reconstructed best, and which worst?


# %%
@torch.no_grad()
def restored(images, space=space):
    """Images (B, 3, 32, 32) encoded and decoded again."""
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
    """Saves a figure: a row of images for each label, titles over the columns."""
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
rows = {"original": images[picked], "reconstructed": back[picked]}
rows["error"] = lost.expand(-1, 3, -1, -1) - 1  # black: nothing
strip(rows, "restored.png", [textures[i] for i in picked])


# %%
def table(rows):
    """Prints the classifier's accuracies, a row a name, a column a property."""
    properties = list(next(iter(rows.values())))
    print(f"{'':42}" + "".join(f"{name:>9}" for name in properties))
    for name, row in rows.items():
        print(f"{name:42}" + "".join(f"{row[key]:9.3f}" for key in properties))


judged = {"original": attribute_classifier.accuracy(judge, scenes, images)}
judged["reconstructed"] = attribute_classifier.accuracy(judge, scenes, back)
judged["original, unseen combinations"] = attribute_classifier.accuracy(judge, new, new_images)
judged["reconstructed, unseen combinations"] = attribute_classifier.accuracy(judge, new, new_back)
table(judged)
fell = {key: judged["original"][key] - judged["reconstructed"][key] for key in judged["original"]}
print("lost most:", max(fell, key=fell.get), " lost least:", min(fell, key=fell.get))

# %% [markdown]
# **Answer.** Large structures are kept: a colour is one number for many pixels. Fine detail is
# expensive, a number or more for each stripe, and weighs little in a squared error. The same shows
# in the spatial frequencies: the share of each band that is reconstructed, from coarse to fine.

# %%
waves, missing = (torch.fft.fft2(part).abs().square() for part in (images, images - back))
steps_across = torch.fft.fftfreq(32) * 32
fineness = (steps_across[:, None].square() + steps_across.square()).sqrt()  # periods an image
for low, high in ((0.5, 2), (2, 4), (4, 8), (8, 16)):
    band = (fineness >= low) & (fineness < high)
    share = 1 - missing[..., band].sum() / waves[..., band].sum()
    weight = waves[..., band].sum() / waves[..., fineness >= 0.5].sum()
    print(f"{low:4} to {high:2} periods an image: kept {share:6.1%} (it has {weight:5.1%} of all)")

# %% [markdown]
# ### Sampled, not a point
#
# The encoder does not output latents but a Gaussian for each number: a mean and a variance. The
# decoder's input is sampled from it. **Question.** Why add noise to one's own code?
#
# First see what that noise does. Four samples from the same distribution, decoded:

# %%
two = images[picked[::3]]
with torch.no_grad():
    posterior = vae.encode(space.fold(two))
    draws = [vaes.draw(posterior, seeded(options.seed, i)) for i in range(4)]
    drawn = torch.stack([space.to_images(z * vae.scale) for z in draws], dim=1)
deviation = (posterior.log_variance / 2).exp()
print(f"deviation of a sample: median {deviation.median():.3f}")
print(f"deviation of the means over the images: {posterior.mean.std():.3f}")
rows = {f"{textures[i]}": torch.cat([p[None], d]) for i, p, d in zip(picked[::3], two, drawn)}
strip(rows, "drawn.png", ["original", *[f"sample {i + 1}" for i in range(4)]])

# %% [markdown]
# **Answer.** So that what lies *near* an image's latents is decoded to that image, too. The decoder
# is trained on the neighbourhood, not only on the points, and diffusion, which never hits a point
# exactly, will end in it. `draw` is mean + deviation * noise; the noise is an input, so mean and
# deviation both get a gradient:

# %%
mean, log_variance = torch.zeros(1, 1, 1, 1), torch.zeros(1, 1, 1, 1)
gaussian = vaes.DiagonalGaussian(mean.requires_grad_(), log_variance.requires_grad_())
z = vaes.draw(gaussian, seeded(options.seed, 3))
z.sum().backward()
print(f"sampled {z.item():.3f}: that is the noise, as mean and log variance are 0")
print(
    f"gradient of the mean {mean.grad.item():.3f}, of the log variance {log_variance.grad.item():.3f}"
)

# %% [markdown]
# (Half the noise, for the deviation is exp(log variance / 2).)
#
# Without a penalty, training would shrink the variance to nothing, or make the means huge, which is
# the same. The KL term penalises that: 1/2 sum(mean^2 + variance - 1 - log variance), the
# Kullback-Leibler divergence from a standard normal distribution: zero where every number is
# standard normal and carries nothing of the image. It is counted in nats (1 bit is
# 0.69 nats). For one number:

# %%
for m, v in ((0.0, 1.0), (1.0, 1.0), (1.0, 0.1), (1.0, 0.01), (3.0, 0.01)):
    cell = vaes.DiagonalGaussian(torch.full((1, 1, 1, 1), m), torch.full((1, 1, 1, 1), v).log())
    print(f"mean {m:3}, variance {v:4}: {vaes.kl_to_normal(cell).item():5.2f} nats")

# %% [markdown]
# ### How much KL
#
# Three small autoencoders, alike but for the weight of the KL term, a few hundred steps each.
# **Question.** Which reconstructs images best? Whose decoder tolerates latents that are a little
# off?

# %%
training = captioned(500 if options.quick else 6000, seen, seed=options.seed)
learned = draw_many(training.scenes)
weights = {"0": 0.0, "0.0001": 1e-4, "0.1": 0.1}


# %%
def squeeze(weight, steps):
    """The latent space of a small autoencoder, trained briefly with this KL weight."""
    torch.manual_seed(options.seed)
    sizes = vaes.VAEConfig(12, 16, widths=(16, 32, 48), depth=1, groups=8)
    small = LatentSpace(2, vaes.VAE(sizes))
    folded, indices = small.fold(learned), shuffled_batches(len(learned), 32, options.seed)
    settings = {"learning_rate": 3e-3, "seed": options.seed, "precision": fast_precision()}
    price = lambda model, batch: text_to_image.autoencoder_loss(model, batch, weight)  # noqa: E731
    fit(
        small.autoencoder,
        lambda step: folded[indices(step)],
        price,
        steps=steps,
        progress=True,
        **settings,
    )
    small.autoencoder.eval().fit_scale(folded[:500], seeded(options.seed, 0))
    return small


# %%
steps_of_drawing = options.training_steps(1000, quick=5)
steps = options.other_steps(450, quick=10)
spaces = {name: squeeze(weight, steps) for name, weight in weights.items()}
tried = {}
for name, small in spaces.items():
    with torch.no_grad():
        said = small.autoencoder.encode(small.fold(images))
        off = small.to_latents(images, seeded(options.seed, 7))
        off = off + 0.5 * torch.randn(off.shape, generator=seeded(options.seed, 8))
        off = small.to_images(off).clamp(-1, 1)
    here = restored(images, small)
    tried[name] = {"reconstructed": here[picked], "a little off": off[picked]}
    errors = [(images - x).square().mean().item() for x in (here, off)]
    nats, wide = vaes.kl_to_normal(said).mean().item(), (said.log_variance / 2).exp().mean()
    print(f"KL weight {name:7} squared error {errors[0]:.4f}, a little off {errors[1]:.4f}")
    print(f"{'':17} {nats:7.0f} nats; deviations: means {said.mean.std():.2f}, samples {wide:.3f}")

# %%
rows = {"original": images[picked]}
for name, made in tried.items():
    rows |= {f"KL {name},\n{label}": part for label, part in made.items()}
strip(
    rows, "kl_weight.png", heading="three weights; 'off': half a deviation of noise in the latents"
)

# %% [markdown]
# **Answer.** Read the second lines first. Without the penalty the latents carry the most nats, and
# the samples deviate least beside the means: they are close to being points. With the largest
# weight it is cheapest to encode nothing: next to no nats, and an image that is the mean of many,
# by far the worst reconstruction. A small weight costs little and keeps the scale of the latents
# known; how much each decoder tolerates is the difference of the two errors of each first line.
#
# ### Between two images
#
# **Question.** Half of one image and half of another: what will it look like in pixels, and what if
# the latents are mixed?

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
# **Answer.** Mixed pixels show both images, one over the other, whatever the images. The decoder is
# trained on images, and decodes what lies between mostly to one thing that is bent into the other,
# with forms and colours on the way that neither has (other pairs: `--seed`). So latents encode
# edges and surfaces, but not yet meaning: to go from one meaning to another one interpolates
# embeddings, as lesson 15 does.
#
# ## A deviation of one
#
# Noise has a deviation of 1, whatever it is added to. **Question.** What happens to latents that
# are four times as large? Or a quarter?

# %%
with torch.no_grad():
    raw = vaes.draw(vae.encode(space.fold(images)), seeded(options.seed, 7))
print(f"deviation of unscaled latents {raw.std():.3f}; the stored scale {vae.scale:.3f}")
print(f"deviation of latents times the scale {(raw * vae.scale).std():.3f}")
fresh = copy.deepcopy(vae)
fresh.scale.fill_(1.0)
fresh.fit_scale(space.fold(images), seeded(options.seed, 7))
print(f"measured anew, on these images: {fresh.scale:.3f}, which is 1 / {1 / fresh.scale:.3f}")

# %% [markdown]
# One number for all channels, measured once, after the autoencoder's training and before
# diffusion's. Here are latents of three scales with the same noise, decoded at their own scale, and
# below, how much of the model's input is image: the correlation of noisy latents with clean ones.

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
strip(
    rows, "scale.png", [f"timestep {t}" for t in times.tolist()], "noise on latents of three scales"
)

# %%
alpha = schedule.at(times)
print(f"{'timestep':12}" + "".join(f"{t:8}" for t in times.tolist()))
for name, factor in factors.items():
    signal = factor**2 * alpha
    print(f"{name:12}" + "".join(f"{x:8.3f}" for x in (signal / (signal + 1 - alpha)).sqrt()))

# %% [markdown]
# **Answer.** Too small, and noise hides them within the first fifth of the timesteps: most of the
# training is on inputs without information. Too large, and most of the timesteps have hardly any
# noise: what an image is to become is left to the few noisiest of them, in large jumps. The
# schedule was made for a deviation of 1. Stable Diffusion's 0.18215 is this number, of its own
# autoencoder.
#
# ## Generating latents
#
# Now the generator at work: 20 steps from noise. **Question.** Three rows: the noisy latents,
# decoded as if they were done; the predicted x0, decoded; and of that prediction three of the
# channels. In which row will you see the thing first?

# %%
prompt = "a large red ring"
path = list(shared.path([prompt], seeds=[options.seed + 5], steps=20))
shown = [0, 1, 3, 5, 8, 11, 14, 17, 19]
with torch.no_grad():
    rows = {"noisy, decoded": [space.to_images(path[i].x)[0] for i in shown]}
    rows["x0, decoded"] = [space.to_images(path[i].x0)[0] for i in shown]
loud = path[-1].x0[0].flatten(1).std(dim=1).topk(3).indices.tolist()  # those that vary most
for channel in loud:
    rows[f"x0, channel {channel}"] = [path[i].x0[0, channel : channel + 1] for i in shown]
strip(rows, "on_the_way.png", [f"step {i + 1}" for i in shown], prompt)

# %%
said = [judge.names(space.to_images(path[i].x0).clamp(-1, 1)) for i in shown]
for i, names in zip(shown, said):
    print(f"step {i + 1:2}: classified as {names['color'][0]} {names['shape'][0]}")

# %% [markdown]
# **Answer.** In the predicted x0. It begins as a mean of all the images that the noise leaves open,
# and settles. The decoder has to run only once, at the end; here it runs at each step to show the
# progress.
#
# ## Latents against pixels
#
# Was it worth it? Two small generators, the same prompts, the same UNet (but for its first and last
# layer) on the same 4 x 4 grid, the same number of training images. One generates latents, 16
# channels a cell; the other generates pixels folded 8 x 8 to a cell, 192 channels, of which nothing
# is lost (and predicts x0: noise of 192 channels would not fit through the UNet's width).
#
# **Question.** Which has the right colours? Which the right shapes?


# %%
def painter(space, channels):
    """A small untrained text-to-image model that generates in this space."""
    torch.manual_seed(options.seed)
    words = TextTransformer(shared.model.text_encoder.config)
    sizes = {"widths": (96,), "depth": 1, "attended": (), "groups": 8, "heads": 4}
    text = {"context_width": words.config.width, "adds_pooled_text": True}
    unet = UNet(replace(stable_diffusion_v1(), channels=channels, **sizes, **text))
    # Noise of 192 channels does not fit through a width of 96, so there x0 is predicted; and pixels
    # have bounds to clamp to, latents have none.
    kind = {"target": "velocity"} if space.autoencoder else {"target": "x0", "clamp": 1.0}
    model = TextToImage(unet, words, space, cosine_schedule(200), **kind)
    return TrainedTextToImage(model.eval(), shared.tokenizer, shared.known, shared.sizes)


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
    cells = latents_of(drawer.model.space, learned, options.seed)
    few = replace(recipe, steps=steps)
    text_to_image.train_unet(few, drawer, cells, texts, **settings)
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
# **Answer.** Read the table by columns; a random shape is right one time in eight, a colour too. A
# colour is local to each cell. A shape has to agree across cells. The autoencoder has learned
# before to encode in a cell's 16 numbers how an edge runs through it. In pixels the UNet has to
# learn that, too, from 192 noisy numbers a cell; but nothing of its output goes through a
# bottleneck.
#
# Against that stands the cost. The autoencoder had to be trained before, which is not counted here,
# and what it cannot reconstruct cannot be generated. At 32 x 32 pixels gain and cost are close; at
# 512 x 512, where one autoencoder serves every model after it, it is why such images could be
# generated at all on one GPU. The last rows show what longer training adds in the same latents.

# %% [markdown]
# ## In the field's words
#
# The autoencoder is a **variational autoencoder** (VAE); sampling with the noise as an input is the
# **reparameterisation trick**; the penalty is the **KL regularisation** term, its weight beta; too
# large, and the latents carry nothing: **posterior collapse**. What the compression loses is
# distortion, the nats are the rate: the **rate-distortion trade-off**. Scaled latents use the
# **scaling factor**. Diffusion there is a **latent diffusion model** (LDM), the design of Stable
# Diffusion.
#
# **Left out here:** Perceptual and adversarial losses, which published autoencoders add (a squared
# error alone blurs), vector quantisation (VQ-VAE, VQGAN), larger images, where latents pay most,
# and text encoders of billions of parameters.
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
    "shapes recognised in reconstructed images",
    judged["reconstructed"]["shape"],
    0.75,
    unjudged=options.unjudged,
)
