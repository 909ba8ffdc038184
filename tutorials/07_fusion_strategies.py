"""Lesson 07, fusion strategies: two or more modalities, one prediction.

Question: an image and a question come in, one answer goes out. Where should the two be fused, and
what does each fusion cost, represent, and lose when a modality is missing?

Time: about 2 and a half minutes on two cores (`--quick`: about 15 s). Figures go to
runs/07_fusion_strategies/ (`--quick`: to runs/07_fusion_strategies_quick/).
Data: questions about the generated world; and if there, six views of handwritten digits
(uci_multifeature in `--root DIR`, or where SCRATCHMM_DATA says). Without them the rest still runs.
Read beside it: scratchmm/fusion/modalities.py, then early.py, late.py, gated.py, bilinear.py,
tensor_fusion.py, low_rank.py, bottleneck.py and modality_attention.py in the same folder.
Exercises: early.EarlyFusion and 14 more, to `adaptive_loss.UncertaintyWeights`
(`python -m scratchmm learn check early.EarlyFusion`; `learn list` names them all).
Papers: Multimodal Machine Learning (arXiv 1705.09406), section 6; Gated Multimodal Units
(1702.01992); Bilinear CNNs (1504.07889); Tensor Fusion (1707.07250); Low-rank Fusion (1806.00064);
Attention Bottlenecks (2107.00135); ModDrop (1501.00102); and for several losses 1803.10704
(equation 7) and 1705.07115.
"""

# %% [markdown]
# # Fusion: two or more modalities, one prediction
#
# "Is there a red star?" The image alone does not determine the answer: the question is not in it.
# Neither do the words. Somewhere the two have to be fused: before the joint network (early), after
# one network each (late), or in between by attention, gates and products.
#
# By the end you can write eight fusion strategies, say what each costs in parameters and what it
# can never represent, train a model that still works when a modality is missing, and show which of
# its inputs a model really uses.

# %%
import json
import math
import os
import time
from dataclasses import replace

import matplotlib.pyplot as plt
import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

# %%
from scratchmm import plots
from scratchmm.data.sets.multifeature import load_multifeature, split, standardise
from scratchmm.data.world.balanced_questions import ask_scenes
from scratchmm.data.world.blind_baselines import blind_ceilings, cell
from scratchmm.data.world.images import draw_many
from scratchmm.data.world.questions import KINDS
from scratchmm.data.world.scenes import sample_scene, split_combinations
from scratchmm.fusion.bilinear import BilinearFusion, bilinear
from scratchmm.fusion.bottleneck import BottleneckFusion
from scratchmm.fusion.cross_modal import masked_mean
from scratchmm.fusion.early import EarlyFusion
from scratchmm.fusion.gated import GatedFusion
from scratchmm.fusion.late import LateFusion, WeightedLateFusion, combine_decisions
from scratchmm.fusion.low_rank import LowRankFusion

# %%
from scratchmm.fusion.modalities import Encoded
from scratchmm.fusion.modality_attention import AttentionFusion
from scratchmm.fusion.tensor_fusion import TensorFusion, append_one, outer_product
from scratchmm.language.words import BERTEmbeddings
from scratchmm.layers.attention import padding_mask, watch_attention
from scratchmm.layers.transformer import TransformerBlock
from scratchmm.lesson import LessonParser, report
from scratchmm.metrics.bias import bias_by_group
from scratchmm.recipes import grid_classifier, vqa
from scratchmm.training.adaptive_loss import LossRatio, UncertaintyWeights
from scratchmm.training.balanced import balanced_batches
from scratchmm.training.fit import fit
from scratchmm.training.modality_dropout import everything, modality_dropout
from scratchmm.training.sampling import seeded, shuffled_batches

# %%
parser = LessonParser(__doc__)
parser.add_argument("--root", help="folder with the real sets (or SCRATCHMM_DATA)")
options = parser.read("")  # in a notebook, flags go here: "--quick --steps 50"
quick, seed = options.quick, options.seed
out = options.folder("07_fusion_strategies")
WIDTH, HIDDEN, STEPS = 64, 128, options.training_steps(500, quick=12)
settings = {"learning_rate": 2e-3, "seed": seed, "device": options.device}

# %% [markdown]
# ## Two data sets
#
# **Questions about the world.** Images show one to three things; a small network, the *grid
# classifier*, has learned to predict for each of 8 x 8 cells which shape, colour, size and texture
# lies there. It is kept, and lesson 08 goes on with it.

# %%
sizes = {"scenes": 400, "tests": 150, "grid_steps": 30} if quick else {"grid_steps": 1000}
recipe = replace(vqa.SETTINGS, **sizes)
quiz = vqa.data(recipe, folder=out, seed=seed, device=options.device, progress=True)
training, test = quiz.training, quiz.seen
K, names = len(quiz.vocabulary), {"image": WIDTH, "words": WIDTH}
print(f"{len(training.asked):,} questions to train on, {len(test.asked):,} to test on")
print(f"{K} answers: {', '.join(quiz.vocabulary.answers)}")
for kind in KINDS:
    item = next(question for question in test.asked if question.kind == kind)
    print(f"{kind:10} {item.question} {item.answer}")

# %% [markdown]
# **Six views of a handwritten digit**: real data, without an image. Six kinds of features of the
# same digit. We train on 500 digits and test on 1,500.


# %%
def open_views():
    """Six views, divided into (training, test); None where the files are not."""
    if not options.root and "SCRATCHMM_DATA" not in os.environ:
        return None
    try:
        data = load_multifeature(options.root)
    except FileNotFoundError:
        if options.root:
            raise
        return None
    return standardise(*split(data, seed, held_out=0.75))


# %%
views = open_views()
if views is None:
    print("no uci_multifeature in SCRATCHMM_DATA: the digits are left out, the world goes on")
else:
    print({name: view.shape[1] for name, view in views[0].views.items()})

# %% [markdown]
# ## Baselines without one of the two inputs
#
# **Question.** The answers are balanced: as many yes as no. What accuracy will a model reach that
# never has the image? Guess it for questions of existence, and for "what colour ...?" with eight
# colours.

# %%
known = [training.asked[i] for i in vqa.even_batches(training.asked, 50_000, seed)(0)]
scenes = ask_scenes(len(test.asked), seed + 101, split_combinations()[0])  # those of the test
columns = [zip(*found) for found in (test.asked, known)]
limits = blind_ceilings(*columns[0], known=tuple(columns[1]), scenes=scenes)
guessing = {
    guess: {kind: getattr(limits[kind], guess) for kind in limits}
    for guess in ("majority", "words", "image")
}
for guess, row in guessing.items():
    print(f"{guess:10}", "  ".join(f"{kind} {row[kind]:.3f}" for kind in [*KINDS, "all"]))

# %% [markdown]
# **Answer.** Half of the yes-or-no questions, and of eight colours an eighth; all attributes
# together, of which some have only two or three answers, a little over a quarter. (The image's row
# is given the kind of question, which is much: for a count one needs only the number of things in
# the image. In the last column it is not, and falls behind words.)
#
# Now the encoders, the same for every strategy: the image's cells become one vector, and so does
# the question, encoded by a transformer block.


# %%
class FusionModel(nn.Module):
    """Two vectors of a sample, and a fusion strategy that gives the logits of the answers."""

    def __init__(self, fusion):
        super().__init__()
        length = training.tokens.shape[1]
        self.fusion, self.image_encoder = fusion, nn.Linear(training.features[0].numel(), WIDTH)
        self.words = BERTEmbeddings(len(quiz.tokenizer), WIDTH, length, types=1, epsilon=1e-5)
        self.text_encoder = TransformerBlock(WIDTH, heads=4, hidden=HIDDEN)

    def forward(self, cells, tokens, real, present=None):
        words = self.text_encoder(self.words(tokens), mask=padding_mask(real))  # (B, T, D)
        vectors = {"image": self.image_encoder(cells.flatten(1)), "words": masked_mean(words, real)}
        return self.fusion({name: vectors[name] for name in self.fusion.widths}, present)


# %% [markdown]
# Every strategy is trained for the same steps on the same batches, encoders and all.

# %%
results, models, guesses = {}, {}, {}
order = vqa.even_batches(training.asked, 128, seed)


@torch.no_grad()
def answer(model, rows, images=None, present=None):
    """Logits (B, K) for questions of the test, optionally with the images of other questions."""
    _, tokens, real, _ = test.batch(rows)
    return model.eval()(test.batch(rows if images is None else images)[0], tokens, real, present)


# %%
def keep(name, model, seconds):
    """Test a model, and put it into the table."""
    models[name], guesses[name] = model, answer(model, everyone).argmax(dim=-1)
    row = {"parameters": sum(p.numel() for p in model.parameters()), "seconds": seconds}
    results[name] = row | {"accuracy": vqa.accuracy_by_kind(guesses[name], test)}
    told = "  ".join(f"{kind} {value:.3f}" for kind, value in results[name]["accuracy"].items())
    print(f"{name:10} {row['parameters']:8,} parameters {seconds:5.1f} s   {told}")


# %%
everyone = torch.arange(len(test.asked))


def questions(name, make, steps=STEPS, share=0.0, wrap=FusionModel):
    """Train a strategy on the questions; share: the probability of modality dropout."""
    torch.manual_seed(seed)
    model = wrap(make())

    def loss(model, batch):
        *inputs, answers, present = batch
        return F.cross_entropy(model(*inputs, present), answers)

    def batch_at(step):
        present = everything([*names], 128)
        present = modality_dropout(present, share, seeded(seed, step)) if share else None
        return *training.batch(order(step)), present

    start = time.perf_counter()
    fit(model, batch_at, loss, steps=steps, progress=True, **settings)
    keep(name, model.cpu(), time.perf_counter() - start)


# %%
def digits(name, make, share=0.0, narrow=None, only=None):
    """Train a strategy on the views, optionally with encoders to `narrow` numbers a view."""
    train, tested = views
    shape = {view: x.shape[1] for view, x in train.views.items() if only in (None, view)}
    torch.manual_seed(seed)
    model = Encoded(shape, make(dict.fromkeys(shape, narrow), 10)) if narrow else make(shape, 10)
    chosen = shuffled_batches(len(train.labels), 64, seed)

    def batch_at(step):
        rows = chosen(step)
        present = everything([*shape], len(rows))
        present = modality_dropout(present, share, seeded(seed, step)) if share else present
        return {view: train.views[view][rows] for view in shape}, present, train.labels[rows]

    fit(model, batch_at, view_loss, steps=options.other_steps(300, quick=10), **settings)
    model.cpu()  # all that follows is computed there
    seen[name] = [view_accuracy(model, tested, missing) for missing in range(len(shape))]
    print(f"{name:22} digits, all six views: {seen[name][0]:.3f}, {model.cost()}")


# %%
seen = {}  # accuracy on the digits with 0, 1, 2 ... views missing


def view_loss(model, batch):
    vectors, present, labels = batch
    return F.cross_entropy(model(vectors, present), labels)


@torch.no_grad()
def view_accuracy(model, tested, missing):
    """With so many of each digit's views missing, chosen at random, the same for every model."""
    shape, luck = list(model.widths), torch.rand(len(tested.labels), 6, generator=seeded(seed, 0))
    rank = luck[:, : len(shape)].argsort(dim=1).argsort(dim=1)
    present = {view: rank[:, column] >= missing for column, view in enumerate(shape)}
    logits = model.eval()({view: tested.views[view] for view in shape}, present)
    return (logits.argmax(dim=-1) == tested.labels).float().mean().item()


# %% [markdown]
# ## Early fusion
#
# Concatenate the vectors, and give the long vector to one network.
#
# **Question.** Two vectors of 64, 128 hidden, 27 answers: how many parameters? What if a third
# vector comes? And could one linear *layer* without a hidden one answer "is there a red star?"

# %%
for count in (2, 3, 6):
    widths = {f"modality{number}": WIDTH for number in range(count)}
    print(count, "modalities:", EarlyFusion(widths, K, HIDDEN).cost())
questions("words only", lambda: EarlyFusion({"words": WIDTH}, K, HIDDEN))
questions("image only", lambda: EarlyFusion({"image": WIDTH}, K, HIDDEN))
questions("early", lambda: EarlyFusion(names, K, HIDDEN))

# %% [markdown]
# **Answer.** A sum: each further vector brings its own rows of the first layer. One layer alone
# adds "a star is there" to "a star is asked for", and either raises the logit of yes. What is asked
# for must be *multiplied* with what is there; the hidden layer has to approximate that product.
#
# On the digits there is no question: each view alone is enough for most of the labels.

# %%
if views is not None:
    for view in views[0].views:
        digits(f"only {view}", lambda w, k: EarlyFusion(w, k, WIDTH), only=view)
    digits("early", lambda w, k: EarlyFusion(w, k, WIDTH))

# %% [markdown]
# ## Late fusion
#
# Each modality makes its own prediction, and the probabilities are averaged; the weights may be
# learned.
#
# **Question.** The image shows a star or a ring, the words ask for the star or the ring. The right
# answer is yes in two of four cases. What is the best that the average of two predictions can do?
# Fill in any.

# %%
asked_for, in_image = torch.tensor([0, 0, 1, 1]), torch.tensor([0, 1, 0, 1])
right = (asked_for == in_image).long()  # answer 1 is yes
for pair in ([0.05, 0.9], [0.9, 0.1], [0.5, 0.5]):
    chance = torch.tensor(pair)[torch.stack([asked_for, in_image], dim=1)]  # (4, 2), of yes
    logits = torch.stack([1 - chance, chance], dim=-1).log()  # (4, M, K)
    mean = combine_decisions(logits, torch.ones(4, 2).bool()).exp()[:, 1]
    print(f"{pair}: yes with {[round(m, 3) for m in mean.tolist()]}, cases {right.tolist()}")
questions("late", lambda: WeightedLateFusion(names, K, HIDDEN))
print({name: round(value, 2) for name, value in models["late"].fusion.weights().items()})
if views is not None:
    digits("late", lambda w, k: LateFusion(w, k, WIDTH))

# %% [markdown]
# **Answer.** Three of the four, with a probability of .9 for the star and .05 for the ring; never
# all four: a mean that is high where both are the star and low where they differ is lower still
# where both are the ring. And the probability of the right answer, averaged over the four, is one
# half whatever the predictions: there is nothing to learn. On the digits, where every view is
# enough for the label, late fusion is as good as any. It is not a bad strategy; it is one for
# predictions of the same label.
# ## Gated fusion
#
# Each modality attends to the other, and a gate sets for every number how much of its own to
# keep: 1 keeps its own, 0 takes the other's.
#
# **Question.** The gates are numbers per sample. Should they differ between "how many ...?" and
# "what colour ...?" Which side will keep less of its own? (The mean stands over each panel.)

# %%
questions("gated", lambda: GatedFusion(names, K, WIDTH, heads=4, hidden=HIDDEN))
if views is not None:
    digits("gated", lambda w, k: GatedFusion(w, k, 48, heads=4, hidden=WIDTH))
kinds = [question.kind for question in test.asked]
kept = {}


def watch(module, inputs):
    kept.update(models["gated"].fusion.gates(*inputs))


hook = models["gated"].fusion.register_forward_pre_hook(watch)
answer(models["gated"], everyone)
hook.remove()
of_kind = {kind: torch.tensor([kind == found for found in kinds]) for kind in KINDS}

# %%
figure, axes = plt.subplots(1, 2, figsize=(9, 2.9), layout="constrained", sharey=True)
for axis, (name, gate) in zip(axes, kept.items()):
    rows = torch.stack([gate[of_kind[kind]].mean(dim=0) for kind in KINDS])  # (kinds, D)
    rows = rows[:, rows.mean(dim=0).argsort(descending=True)]
    shown = axis.imshow(rows, vmin=0, vmax=1, aspect="auto", cmap="RdBu")
    axis.set_yticks(range(len(KINDS)), KINDS)
    title = f"gates of the {name} (mean {gate.mean():.2f})"
    axis.set(title=title, xlabel=f"its {WIDTH} numbers, sorted")
bar = figure.colorbar(shown, ax=axes, ticks=[0, 0.5, 1])
bar.ax.set_yticklabels(["the other's", "half", "its own"])
print("figure:", plots.save(figure, out / "gates.png"))

# %% [markdown]
# **Answer.** Rows that differ show a gate that depends on the kind of question. But look at the
# accuracy: with one token on each side, there is only one key to attend to, so the output of
# attention is the same whatever the query. A gate is a product, though a soft one.
# ## Bilinear fusion
#
# Then multiply outright: every number of the image with every number of the words, each product
# with a weight for each answer.
#
# **Question.** What does a product represent of the star and the ring above that a sum does not?

# %%
signs = torch.tensor([[-1.0], [-1.0], [1.0], [1.0]]), torch.tensor([[-1.0], [1.0], [-1.0], [1.0]])
print("one product:", bilinear(*signs, torch.ones(1, 1, 1))[:, 0].tolist(), "cases", right.tolist())
print(BilinearFusion(names, K).cost())
questions("bilinear", lambda: BilinearFusion(names, K))
if views is not None:
    digits("bilinear", BilinearFusion, narrow=16)

# %% [markdown]
# **Answer.** The whole answer: the product of two signs is + where they agree. So with no hidden
# layer at all it beats those before it. The price is the product of the widths, and a second one:
# with one modality missing, the other has nothing to be multiplied with, and only the bias is left.
# ## Tensor fusion
#
# Append a 1 to each vector before multiplying. **Question.** What stands in the product of (x, 1)
# and (y, 1)? And with six views of 16 numbers, how many products are there?

# %%
x, y = torch.tensor([[2.0, 3.0]]), torch.tensor([[5.0]])
print(outer_product([append_one(x), append_one(y)]).tolist(), "x y, x, x y, x, y, 1 in some order")
print(f"six views of 16: {math.prod([17] * 6):,} products for each answer")
questions("tensor", lambda: TensorFusion(names, K))
if views is not None:
    digits("tensor", TensorFusion, narrow=3)

# %% [markdown]
# **Answer.** All products, and each number alone, and 1: so with a missing modality, (0, ..., 0,
# 1), the numbers of the other are still there. With six views of 16 there are 24 million products
# an answer. For the digits we had to project each view to 3 numbers, and that costs more than the
# products bring.
# ## Low-rank fusion
#
# Let the weights be a sum of R outer products. Then project each modality, multiply number by
# number, and add over R. **Question.** Is that the same as making the tensor, up to rounding?

# %%
torch.manual_seed(seed)
low = LowRankFusion({"image": 4, "words": 3, "sound": 2}, outputs=5, rank=6).double()
sample = {name: torch.randn(7, width).double() for name, width in low.widths.items()}
full = TensorFusion(low.widths, outputs=5).double()
full.output.weight.data = low.tensor().flatten(1)
print(f"largest difference {(low(sample) - full(sample)).abs().max().item():.1e}")
questions("low rank", lambda: LowRankFusion(names, K, rank=16))
if views is not None:
    digits("low rank", lambda w, k: LowRankFusion(w, k, rank=8), narrow=16)

# %%
strategies = {
    "early": lambda w: EarlyFusion(w, 10, WIDTH).cost(),
    "gated": lambda w: GatedFusion(w, 10, WIDTH, 4, WIDTH).cost(),
    "bilinear": lambda w: BilinearFusion(w, 10).cost(),
    "tensor": lambda w: TensorFusion(w, 10).cost(),
    "low rank": lambda w: LowRankFusion(w, 10, 8).cost(),
}
# %%
figure, axis = plt.subplots(figsize=(6, 3), layout="constrained")
for (name, cost), color in zip(strategies.items(), [*plots.LINES, plots.WRONG]):
    counts = range(2, 6)
    costs = [cost({f"m{number}": 16 for number in range(count)}).parameters for count in counts]
    axis.plot(counts, costs, color=color, marker="o", markersize=4, label=name)
axis.set(yscale="log", xticks=counts, xlabel="modalities of 16 numbers", ylabel="parameters")
axis.yaxis.set_major_formatter(lambda value, _: f"{value:,.0f}")
axis.set_title("only one of them explodes")
axis.legend(frameon=False, loc="upper left", bbox_to_anchor=(1, 1))
print("figure:", plots.save(figure, out / "cost.png"))

# %% [markdown]
# **Answer.** The same numbers, and never a tensor. The price is that only sums of R products can be
# represented: in our run two answers in a hundred, most of them about existence.
#
# ## Bottleneck tokens
#
# So far the image was one vector before the fusion. Let both stay tokens: 64 cells, 13 words. Each
# stream attends to itself and to a few shared tokens, and only through these they exchange
# information. **Question.** What does that save against one stream of all tokens? Is it much, here?


# %%
class Streams(nn.Module):
    """Image cells and words, each with positions, and a fusion strategy for tokens."""

    def __init__(self, fusion):
        super().__init__()
        cells, length = training.features.shape[1], training.tokens.shape[1]
        self.fusion, self.image_encoder = (
            fusion,
            nn.Linear(training.features.shape[2], fusion.sizes[0]),
        )
        self.positions = nn.Parameter(0.1 * torch.randn(cells, fusion.sizes[0]))
        self.words = BERTEmbeddings(len(quiz.tokenizer), fusion.sizes[0], length, 1, 1e-5)

    def forward(self, cells, tokens, real, present=None):
        streams = {"image": self.image_encoder(cells) + self.positions, "words": self.words(tokens)}
        return self.fusion(streams, present, real={"words": real})


# %%
def bottleneck():
    narrow = dict.fromkeys(names, 32)
    return BottleneckFusion(narrow, K, 32, heads=2, hidden=WIDTH, depth=2, bottlenecks=4)


lengths = {"image": 64, "words": training.tokens.shape[1]}
apart = sum((1 + length + 4) ** 2 for length in lengths.values())
print(f"scores of a head: {apart:,} apart, {(2 + sum(lengths.values())) ** 2:,} in one stream")
print(bottleneck().cost(lengths))
questions("bottleneck", bottleneck, wrap=Streams)

# %% [markdown]
# **Answer.** Less than a fifth here, and half where both streams are equally long. It needs by far
# the most multiply-adds (its whole model has the fewest parameters only since its streams are half
# as wide). Trained as briefly as the others it has not yet learned where to attend; lesson 08 lets
# words and cells attend to each other directly.
#
# ## Attention over modalities
#
# Or make each modality one token, add an answer token, and let a transformer relate the three.
# **Question.** To which will the answer token attend, the image or the words? For all kinds alike?

# %%
questions("attention", lambda: AttentionFusion(names, K, WIDTH, heads=4, hidden=HIDDEN, depth=2))
if views is not None:
    digits("attention", lambda w, k: AttentionFusion(w, k, 48, heads=4, hidden=WIDTH))
with watch_attention() as watched:
    answer(models["attention"], everyone)
weights = watched[1][:, :, 0].mean(
    dim=1
)  # (B, 3): the first of `watched` is the question's encoder
for kind, rows in of_kind.items():
    shares = zip(["itself", *names], weights[rows].mean(dim=0).tolist())
    print(f"{kind:10}", "  ".join(f"{name} {share:.2f}" for name, share in shares))

# %% [markdown]
# **Answer.** It averages vectors by attention, and multiplies nothing but weights and vectors: for
# two modalities it is early fusion with more parts. Its strength is that any number of modalities
# may come, in any order, and that missing ones are simply masked.
#
# ## The table

# %%
for guess in ("image", "words", "majority"):
    results = {f"{guess}, counted": {"parameters": 0, "seconds": 0.0}} | results
    results[f"{guess}, counted"]["accuracy"] = guessing[guess]
(out / "strategies.json").write_text(json.dumps(results, indent=1), encoding="utf-8")
columns = [*KINDS, "all"]
table = torch.tensor([[row["accuracy"][kind] for kind in columns] for row in results.values()])
print(f"{'':18} parameters seconds  " + "  ".join(f"{kind:9}" for kind in columns))
for (name, row), values in zip(results.items(), table.tolist()):
    numbers = "  ".join(f"{value:<9.3f}" for value in values)
    print(f"{name:18} {row['parameters']:10,} {row['seconds']:7.1f}  {numbers}")

# %%
figure, axis = plt.subplots(figsize=(7.4, 4.6), layout="constrained")
axis.imshow(table, vmin=0, vmax=1, cmap="Blues", aspect="auto")
for (i, j), value in zip(torch.cartesian_prod(*map(torch.arange, table.shape)), table.flatten()):
    color = "white" if value > 0.6 else plots.INK
    axis.text(j, i, f"{value:.2f}", ha="center", va="center", color=color)
axis.set_xticks(range(len(columns)), columns)
sizes = [f"  {row['parameters'] / 1000:.0f}k" * bool(row["seconds"]) for row in results.values()]
axis.set_yticks(range(len(results)), [name + size for name, size in zip(results, sizes)])
axis.set_title(f"accuracy by kind of question, after {STEPS} steps each (k: thousand parameters)")
axis.spines[:].set_visible(False)
axis.tick_params(length=0)
print("figure:", plots.save(figure, out / "table.png"))

# %% [markdown]
# **Question.** What does each get wrong? A wrong answer can be of the wrong *kind* ("how many
# ...?", "red"), or possible and wrong.

# %%
possible = {}
for question in training.asked:
    possible.setdefault(cell(question)[1], set()).add(question.answer)
for name, told in guesses.items():
    words = quiz.vocabulary.decode(told)
    pairs = list(zip(test.asked, words))
    wrong = [(q, word) for q, word in pairs if word != q.answer]
    odd = sum(word not in possible.get(cell(q)[1], ()) for q, word in wrong)
    print(
        f"{name:13} wrong {len(wrong) / len(pairs):.3f}, of the wrong kind {odd / len(pairs):.3f}"
    )

# %%
shown = ["late", "early", "tensor"]
told = {name: quiz.vocabulary.decode(guesses[name]) for name in shown}
hits = {name: [a == q.answer for a, q in zip(told[name], test.asked)] for name in shown}
hard = [i for i in range(len(kinds)) if hits["tensor"][i] and not hits["late"][i]]
picked = [next((i for i in hard if kinds[i] == kind), kinds.index(kind)) for kind in KINDS]
lost = [i for i in everyone[of_kind["relation"]].tolist() if not hits["tensor"][i]]
picked += lost[:1]

# %%
figure, axes = plt.subplots(1, len(picked), figsize=(11, 3.1), layout="constrained")
for axis, i in zip(axes, picked):
    axis.imshow(((test.images[test.scene[i]] + 1) / 2).permute(1, 2, 0))
    words = test.asked[i].question.split()
    half = (len(words) + 1) // 2
    axis.set_title(" ".join(words[:half]) + "\n" + " ".join(words[half:]), fontsize=7.5)
    lines = [f"{name}: {told[name][i]}" for name in shown]
    axis.set_xlabel("\n".join([f"right: {test.asked[i].answer}", *lines]), fontsize=8)
    axis.set(xticks=[], yticks=[])
print("figure:", plots.save(figure, out / "mistakes.png"))

# %% [markdown]
# **Answer.** Late fusion does not relate the two. Its prediction from the image depends on what is
# there, not on the question, and where that one is the more confident, the answer is not even of
# the right kind. All others that have words predict an answer of the right kind, and fail at
# finding it. Those that add (early, gated, attention) have learned hardly anything of existence and
# comparison, which are products; those that multiply are weakest where a vector of the whole image
# has lost what lies *where*: at relations.
# ## Missing modalities
#
# A sensor fails, an image does not load. `present` is the mask of what is there: bool, a flag for
# each sample and modality. **Question.** What should a missing vector be replaced with? Does it
# matter what number stands there?

# %%
half_there = {"image": torch.arange(len(everyone)) % 2 == 0}
clean = answer(models["tensor"], everyone, present=half_there)
images = test.features.clone()
test.features[test.scene[~half_there["image"]]] = torch.nan
broken = answer(models["tensor"], everyone, present=half_there)
print("nan where missing changes nothing:", torch.equal(clean, broken))
test.features.copy_(images)

# %% [markdown]
# **Answer.** It must not matter, be it nan: `collect` fills zeros in (a product with 0 would keep
# nan), attention masks it, late fusion averages over the others.
#
# That the code can do without does not mean that the model can. **Question.** Of the six views,
# most are nearly enough for the label. With three of them missing, how much does each strategy
# lose? And will it help if, in training, views are hidden at random (modality dropout)? What will
# that cost when nothing is missing?

# %%
curves = {
    "early": lambda share: digits("early", lambda w, k: EarlyFusion(w, k, WIDTH), share),
    "late": lambda share: digits("late", lambda w, k: LateFusion(w, k, WIDTH), share),
    "tensor": lambda share: digits("tensor", TensorFusion, share, narrow=3),
    "low rank": lambda share: digits(
        "low rank", lambda w, k: LowRankFusion(w, k, rank=8), share, narrow=16
    ),
    "attention": lambda share: digits(
        "attention", lambda w, k: AttentionFusion(w, k, 48, 4, WIDTH), share
    ),
}
plain = dict(seen)
for name in curves if views is not None else ():
    curves[name](0.5)
    told = [" ".join(f"{value:.3f}" for value in rows[name]) for rows in (plain, seen)]
    print(f"{name:10} 0 to 5 missing: {told[0]}\n{'':10} with dropout:   {told[1]}")

# %%
if views is not None:
    figure, axes = plt.subplots(1, 2, figsize=(8, 3.2), layout="constrained", sharey=True)
    for axis, rows, title in zip(axes, (plain, seen), ("as always", "with modality dropout")):
        for name, color in zip(curves, (*plots.LINES, plots.WRONG)):
            axis.plot(rows[name], color=color, marker="o", markersize=4, label=name)
        axis.set(xlabel="views missing, of six", title=f"trained {title}", ylim=(0, 1))
        axis.axhline(0.1, color=plots.QUIET, linestyle=":")
    axes[0].set_ylabel("accuracy on new digits")
    axes[0].text(0, 0.11, "guessing", color=plots.QUIET)
    axes[1].legend(frameon=False, loc="lower left")
    print("figure:", plots.save(figure, out / "missing_views.png"))

# %% [markdown]
# **Answer.** Late fusion loses hardly anything: its predictions never relied on each other. The
# others fall, and modality dropout lifts them, at no cost that we can measure. It is the cheapest
# insurance there is.
#
# The same on the questions, where neither input is enough. **Question.** A model that was trained
# with dropout loses the image. Compared with one that never had an image, where should it be?

# %%
questions("with dropout", lambda: TensorFusion(names, K), share=0.3)
missing = torch.zeros(len(everyone), dtype=torch.bool)
losses = {}
for name in ("tensor", "with dropout"):
    for lost in (None, "image", "words"):
        logits = answer(models[name], everyone, present={lost: missing} if lost else None)
        score = vqa.accuracy_by_kind(logits.argmax(dim=-1), test)["all"]
        losses[name, lost] = score
alone = {"image": "words only", "words": "image only", None: "tensor"}
for lost, other in alone.items():
    reached = {name: round(losses[name, lost], 3) for name in ("tensor", "with dropout")}
    whole = round(results[other]["accuracy"]["all"], 3)
    print(f"missing: {lost or 'nothing'}: {reached}, trained for just that ({other}): {whole}")

# %%
figure, axis = plt.subplots(figsize=(6.4, 3), layout="constrained")
groups = {"nothing is missing": None, "no image": "image", "no words": "words"}
for place, lost in enumerate(groups.values()):
    heights = [results[alone[lost]]["accuracy"]["all"]]
    heights = [losses["tensor", lost], losses["with dropout", lost], *heights]
    for offset, (height, color) in enumerate(zip(heights, plots.LINES)):
        axis.bar(place + 0.26 * (offset - 1), height, width=0.24, color=color)
        axis.text(place + 0.26 * (offset - 1), height + 0.01, f"{height:.2f}", ha="center")
axis.set_xticks(range(3), groups)
handles = [plt.Rectangle((0, 0), 1, 1, color=color) for color in plots.LINES[:3]]
told = ["trained as always", "with modality dropout", "trained for just that"]
axis.legend(handles, told, frameon=False)
axis.set(ylabel="accuracy, all questions")
print("figure:", plots.save(figure, out / "missing_input.png"))

# %% [markdown]
# **Answer.** Where the model that never had an image is: compare the orange and the green bars. And
# look at what it loses with both, for it was trained with both in only half of its samples.
# ## Which input does it use?
#
# A good accuracy does not show that a model uses the image. Give each question the image of another
# (shuffled), or none (blanked). **Question.** For which kind of question will a wrong image hurt
# most? And can the accuracy become *worse than chance*?


# %%
def told_by(given):
    """Logits; a row of -1 is a missing input."""
    present = {name: rows >= 0 for name, rows in given.items()}
    rows = {name: found.clamp(min=0) for name, found in given.items()}
    return answer(models["with dropout"], rows["words"], rows["image"], present)


blank = dict.fromkeys(names, lambda rows: torch.full_like(rows, -1))
inputs = dict.fromkeys(names, everyone)
bias = bias_by_group(told_by, inputs, test.answers, kinds, blank)
for name, rows in bias.items():
    for kind in KINDS:
        print(f"{name:8} {kind:10}", *(f"{k} {v:.3f}" for k, v in rows[kind]._asdict().items()))

# %%
figure, axes = plt.subplots(1, 2, figsize=(10, 2.9), layout="constrained", sharey=True)
for axis, (name, rows) in zip(axes, bias.items()):
    for offset, (state, color) in enumerate(zip(("intact", "shuffled", "blanked"), plots.LINES)):
        heights = [getattr(rows[kind], state) for kind in KINDS]
        places = [place + 0.26 * (offset - 1) for place in range(len(KINDS))]
        axis.bar(places, heights, width=0.24, color=color, label=state)
    axis.set_xticks(range(len(KINDS)), KINDS)
    axis.set_title(f"the {name}: intact, another's, none")
axes[0].set_ylabel("accuracy")
axes[1].legend(frameon=False, loc="upper left", bbox_to_anchor=(1, 1))
print("figure:", plots.save(figure, out / "bias.png"))

# %% [markdown]
# **Answer.** Where the bars fall most, that input is needed most. Where shuffled lies below
# blanked, the model relied on a wrong input, and one that has none at least guesses. Had the bars
# of the image stayed level, the model would not have used the image at all.
# ## Balanced batches
#
# In most data sets, the answer to "is there ...?" is yes. **Question.** The label is yes nine
# times in ten in training. On a balanced test, how often will the model predict yes, and how often
# is it right?

# %%
yes, no = quiz.vocabulary.encode(["yes", "no"]).tolist()
found = [i for i, question in enumerate(training.asked) if question.kind == "exist"]
order_of = torch.randperm(len(found), generator=seeded(seed, 1)).tolist()
yeses = [found[i] for i in order_of if training.asked[found[i]].answer == "yes"]
nos = [found[i] for i in order_of if training.asked[found[i]].answer == "no"]
uneven = torch.tensor(yeses[: 9 * (len(nos) // 9)] + nos[: len(yeses) // 9])
labels = [training.asked[i].answer for i in uneven.tolist()]
print(f"{labels.count('yes'):,} yes, {labels.count('no'):,} no")
exist = everyone[of_kind["exist"]]
draws = {
    "as they come": shuffled_batches(len(uneven), 128, seed),
    "balanced": balanced_batches(labels, 128, seed),
}

# %%
balance = {}
for name, draw in draws.items():
    torch.manual_seed(seed)
    model = FusionModel(TensorFusion(names, K))
    batch_at = lambda step, draw=draw: training.batch(uneven[draw(step)])  # noqa: E731
    loss = lambda model, b: F.cross_entropy(model(*b[:3]), b[3])  # noqa: E731
    fit(model, batch_at, loss, steps=options.other_steps(200, quick=10), **settings)
    model.cpu()
    said = answer(model, exist).argmax(dim=-1)
    truth = test.answers[exist]
    balance[name] = [(said == truth).double().mean(), (said == yes).double().mean()]
    balance[name] += [(said == truth)[truth == word].double().mean() for word in (yes, no)]
    told = zip(("right", "predicts yes", "right at yes", "right at no"), balance[name])
    print(f"{name:13}", "  ".join(f"{what} {value:.3f}" for what, value in told))

# %% [markdown]
# **Answer.** A model that always predicts yes is right half of the time, and never at no: look at
# the last column. Batches with as many no as yes remove most of that bias; at yes the model is
# right a little less often. The same sampler takes any label: kinds of question, or which
# modalities a sample has (`balanced.patterns`).
#
# ## Several losses
#
# One model, two tasks: what colour is the only thing in the image, and where is it, in pixels? The
# cross-entropy starts at log 8 = 2.1, the squared error in pixels at several hundred.
#
# **Question.** If the two are just added, which is learned? What decides how much each counts?

# %%
rng = np.random.default_rng(seed)
lone = [sample_scene(rng, things=1) for _ in range(300 if quick else 1500)]
spots = torch.tensor([[32 * thing.x, 32 * thing.y] for (thing,) in (s.things for s in lone)])
hues = [scene.things[0].color for scene in lone]
hue = torch.tensor([sorted(set(hues)).index(name) for name in hues])
cells = grid_classifier.cell_features(quiz.grid_classifier, draw_many(lone)).flatten(1)
fresh = len(lone) * 2 // 3  # those behind are the test


class TwoTasks(nn.Module):
    def __init__(self, weigh):
        super().__init__()
        self.trunk = nn.Sequential(nn.Linear(cells.shape[1], 16), nn.GELU())
        self.color, self.spot, self.weigh = nn.Linear(16, 8), nn.Linear(16, 2), weigh


# %%
def both_losses(model, rows):
    shared = model.trunk(cells[rows])
    color = F.cross_entropy(model.color(shared), hue[rows])
    return model.weigh({"color": color, "spot": F.mse_loss(model.spot(shared), spots[rows])})


weighings = {
    "just added": lambda losses: sum(losses.values()),
    "by ratio": LossRatio(["color", "spot"], period=10),
    "by uncertainty": UncertaintyWeights(["color", "spot"], squared=["spot"]),
}

# %%
for name, weigh in weighings.items():
    torch.manual_seed(seed)
    model = TwoTasks(weigh)
    draw = shuffled_batches(fresh, 64, seed)
    steps = options.other_steps(150, quick=10)
    fit(model, draw, both_losses, steps=steps, learning_rate=3e-3, seed=seed)
    with torch.no_grad():
        shared = model.eval().trunk(cells[fresh:])
        right = (model.color(shared).argmax(dim=-1) == hue[fresh:]).float().mean()
        off = (model.spot(shared) - spots[fresh:]).norm(dim=-1).mean()
    weights = [round(w, 2) for w in getattr(weigh, "weights", torch.ones(2)).tolist()]
    print(f"{name:15} colour right {right:.3f}, off by {off:.2f} pixels, weights {weights}")

# %% [markdown]
# **Answer.** Just added, the squared pixels dominate the gradient, and colours are learned only
# when the place is. The sum by uncertainty takes half of a squared error to begin with, learns a
# larger variance for the pixels, and so learns colours sooner, at next to no cost in pixels.
# Weighing by ratio hardly helps here: it depends on how fast a loss falls, not on how large it is.

# %% [markdown]
# ## In the field's words
#
# Early, late and **intermediate fusion**; late fusion is an **ensemble** of unimodal models.
# Products of all pairs are **bilinear pooling** (an outer product), all products **tensor fusion**,
# their cheap form **low-rank (CP) factorisation**. An effect that only the product of two inputs
# has is a **multiplicative interaction** (XOR is the smallest one). Hiding inputs in training is
# **modality dropout**, for **missing modalities**. Giving an input of another sample (shuffled) is
# **permutation importance**. Using one input alone because it is enough is **shortcut learning**
# (modality competition, or collapse). Answers that follow from the question alone are a **language
# prior**; balanced batches are **class-balanced sampling**; losses weighed by a learned noise are
# **homoscedastic uncertainty weighting**; guessing is the **majority baseline**.
#
# **Left out here:** Transformers over raw tokens of both modalities (lessons 08 and 09), mixture
# of experts, canonical correlation analysis, gradient blending against modality competition, and
# missing-modality imputation.
#
# All terms, with their files: [glossary](glossary.md).

# %% [markdown]
# ## Three questions
#
# For pen and paper; the answers are in [answers.md](answers.md).
#
# 1. Two sensors each measure which of two classes is there, and the label is whether they agree.
#    Which strategies can learn it with linear layers only?
#
# 2. Tensor fusion appends a 1 to each vector. What would be lost without it?
#
# 3. A model's accuracy does not move when its images are shuffled among the questions. Name two
#    explanations, and how to tell them apart.

# %% [markdown]
# ## What was reached
#
# Next: `python -m scratchmm learn list`; then lesson 08, where words attend to image cells.

# %%
if views is not None:
    report("digits with 3 of 6 views missing", seen["early"][3], 0.93, unjudged=options.unjudged)
best = max(results[name]["accuracy"]["all"] for name in models if name != "with dropout")
report("questions, the best of one vector each", best, 0.6, unjudged=options.unjudged)
