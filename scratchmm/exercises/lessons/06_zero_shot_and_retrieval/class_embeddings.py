"""Exercise zero_shot.class_embeddings: sentences about a class become its row of the classifier."""

import zlib

import torch
import torch.nn.functional as F
from torch import Tensor

from scratchmm.exercises.case import Case
from scratchmm.exercises.format import Exercise

exercise = Exercise(
    id="zero_shot.class_embeddings",
    order=10,
    target="scratchmm.contrastive.zero_shot:class_embeddings",
    title="A classifier made of sentences",
    goal="a unit vector a class: the mean of the unit vectors of its prompts, made unit length again",
    minutes=15,
    difficulty=2,
    section="A classifier made of text embeddings",
    hints=(
        "Two prompts about a cat, with the vectors (1, 0) and (0, 1). Their mean is (0.5, 0.5), of "
        "length 0.71; the class's vector is (0.71, 0.71), of length 1. The name goes into the braces: "
        "'a photo of a {}.' becomes 'a photo of a cat.', and that sentence is what is encoded.",
        "A prompt is a noisy pointer at a class. Several wordings point around the same place, so "
        "their mean points better than each. A mean of different unit vectors is shorter than 1, and "
        "the more the prompts disagree, the shorter: without unit length again such a class would "
        "lose every comparison.",
        "First refuse a template without {}, no names, no templates. Then for each of K names: P "
        "sentences, encoded to (P, E), mean over P gives (E,), unit length. Stack them to (K, E).",
        "for name in names: prompts = encode_texts([template.format(name) for template in "
        "templates]); rows.append(F.normalize(prompts.mean(dim=0), dim=-1)); torch.stack(rows)",
    ),
)

NAMES = ["cat", "Horse", "red star", "T-shirt/top"]
TEMPLATES = ["a photo of a {}.", "{}, drawn by hand", "this is a {}."]


class Encoder:
    """A text tower for the test: every sentence has a unit vector that depends on its letters."""

    def __init__(self, seed: int, width: int = 5) -> None:
        self.seed, self.width = seed, width
        self.heard: list[str] = []

    def one(self, text: str) -> Tensor:
        """The vector of one sentence; those of one test point roughly the same way."""
        seed = (zlib.crc32(text.encode()) + self.seed) % 2**31
        vector = torch.randn(self.width, generator=torch.Generator().manual_seed(seed))
        return F.normalize(vector + 0.5, dim=0)

    def __call__(self, texts: list[str]) -> Tensor:
        self.heard += list(texts)
        return torch.stack([self.one(text) for text in texts])


def slow(encoder: Encoder, names: list[str], templates: list[str]) -> Tensor:
    """The oracle: one prompt at a time, their sum divided by its length."""
    rows = []
    for name in names:
        total = torch.zeros(encoder.width)
        for template in templates:
            total += encoder.one(template.replace("{}", name))
        rows.append(total / total.pow(2).sum().sqrt())
    return torch.stack(rows)


def encoder_of(case: Case) -> Encoder:
    """An encoder of this case, its width known as E."""
    case.sizes.update(E=5, K=len(NAMES))
    return Encoder(case.seed)


@exercise.holds("a row of width E for each class")
def shape(class_embeddings, case):
    encoder = encoder_of(case)
    case.shape(case.call(class_embeddings, encoder, NAMES, TEMPLATES), "K E")


@exercise.holds("what is encoded are the templates with the names filled in, as they are written")
def prompts(class_embeddings, case):
    encoder = encoder_of(case)
    case.call(class_embeddings, encoder, NAMES, TEMPLATES)
    expected = {template.replace("{}", name) for name in NAMES for template in TEMPLATES}
    odd = sorted(expected ^ set(encoder.heard))
    case.true(not odd, f"{len(expected)} prompts such as {min(expected)!r}", odd[:2])


@exercise.holds("with one template a class's row is the vector of that sentence")
def one_template(class_embeddings, case):
    encoder = encoder_of(case)
    got = case.call(class_embeddings, encoder, NAMES, ["a {} on the left"])
    case.equal(got, torch.stack([encoder.one(f"a {name} on the left") for name in NAMES]))


@exercise.holds("every row has length 1")
def unit_length(class_embeddings, case):
    got = case.call(class_embeddings, encoder_of(case), NAMES, TEMPLATES)
    case.equal(got.norm(dim=1), torch.ones(len(NAMES)), "lengths")


@exercise.holds("a row is the mean of its class's prompts, made unit length")
def numbers(class_embeddings, case):
    encoder = encoder_of(case)
    got = case.call(class_embeddings, encoder, NAMES, TEMPLATES)
    case.equal(got, slow(encoder, NAMES, TEMPLATES))


@exercise.holds("a class alone gets the same row as among others")
def alone(class_embeddings, case):
    encoder = encoder_of(case)
    together = case.call(class_embeddings, encoder, NAMES, TEMPLATES)
    for row, name in enumerate(NAMES):
        got = case.call(class_embeddings, encoder, [name], TEMPLATES)
        case.equal(got, together[row : row + 1], name)


@exercise.holds("a name that comes twice has two rows")
def twice(class_embeddings, case):
    encoder, names = encoder_of(case), [NAMES[0], NAMES[1], NAMES[0]]
    got = case.call(class_embeddings, encoder, names, TEMPLATES)
    case.equal(got, slow(encoder, names, TEMPLATES))


@exercise.holds("a template without {} is refused with a ValueError")
def no_braces(class_embeddings, case):
    case.refuses(ValueError, class_embeddings, encoder_of(case), NAMES, ["a {}", "a photo"])


@exercise.holds("no names, or no templates, are refused with a ValueError")
def nothing(class_embeddings, case):
    case.refuses(ValueError, class_embeddings, encoder_of(case), [], TEMPLATES)
    case.refuses(ValueError, class_embeddings, encoder_of(case), NAMES, [])


def checked(names, templates):
    """The refusals that every answer here makes as asked."""
    if not names or not templates or any("{}" not in template for template in templates):
        raise ValueError("nothing to classify with")


def encoded(encode_texts, names, templates):
    """All prompts' vectors, (K, P, E)."""
    checked(names, templates)
    rows = [encode_texts([t.format(name) for t in templates]) for name in names]
    return torch.stack(rows)


exercise.edit(
    "not-normalised-again",
    ("F.normalize(prompts.mean(dim=0), dim=-1)", "prompts.mean(dim=0)"),
    story="the means are not made unit length again",
    advice="a mean of unit vectors is shorter than 1: F.normalize it",
)
exercise.edit(
    "rows-by-name",
    ("for name in names:", "for name in dict.fromkeys(names):"),
    story="a name that comes twice has one row only",
    advice="a row for each of names, in their order",
)
exercise.edit(
    "sum-only",
    ("F.normalize(prompts.mean(dim=0), dim=-1)", "prompts.sum(dim=0)"),
    story="the prompts' vectors are added up, and left as long as that",
    advice="make the sum unit length: classes must not win by being long",
)
exercise.edit(
    "divided-by-the-sum",
    ("F.normalize(prompts.mean(dim=0), dim=-1)", "F.normalize(prompts.mean(dim=0), p=1, dim=-1)"),
    story="the means are divided by the sum of their absolute values",
    advice="length is the root of the sum of squares",
)
exercise.edit(
    "first-prompt-only",
    ("prompts.mean(dim=0)", "prompts[0]"),
    story="only the first template's vector is kept",
    advice="the mean over all prompts of the class",
)
exercise.edit(
    "last-prompt-only",
    ("prompts.mean(dim=0)", "prompts[-1]"),
    story="only the last template's vector is kept",
    advice="the mean over all prompts of the class; does a loop overwrite its result?",
)
exercise.edit(
    "largest-instead-of-mean",
    ("prompts.mean(dim=0)", "prompts.amax(dim=0)"),
    story="the largest of each coordinate is taken instead of the mean",
    advice="the mean over the prompts",
)
exercise.edit(
    "no-braces-accepted",
    ('if "{}" not in template:', "if False:"),
    story="a template without {} is accepted, and makes all classes the same sentence",
    advice="raise a ValueError that shows the template",
)
exercise.edit(
    "nothing-accepted",
    ("if not names or not templates:", "if False:"),
    story="no names, or no templates, end in an error from deep inside or in nan",
    advice="raise a ValueError first",
)
exercise.edit(
    "name-not-filled-in",
    ("template.format(name) for", "template for"),
    story="the templates are encoded with their braces, so all classes are the same",
    advice="template.format(name)",
)
exercise.edit(
    "names-alone",
    ("[template.format(name) for template in templates]", "[name for template in templates]"),
    story="the bare names are encoded, without the templates around them",
    advice="template.format(name)",
)
exercise.edit(
    "lower-cased",
    ("template.format(name) for", "template.format(name).lower() for"),
    story="the sentences are changed to lower case on the way",
    advice="leave that to the tokenizer: hand the sentences over as they are",
)


@exercise.wrong(
    "one-long-prompt",
    story="all prompts of a class are joined to one long text",
    advice="encode each prompt by itself, and take the mean of the vectors",
)
def one_long_prompt(encode_texts, names, templates):
    checked(names, templates)
    return encode_texts([" ".join(t.format(name) for t in templates) for name in names])


@exercise.wrong(
    "classes-mixed",
    story="the prompts are in the order template by template, but are cut class by class",
    advice="(P, K, E) is not (K, P, E): build the list name by name, or mean over the first axis",
)
def classes_mixed(encode_texts, names, templates):
    checked(names, templates)
    texts = [template.format(name) for template in templates for name in names]
    vectors = encode_texts(texts).view(len(names), len(templates), -1)
    return F.normalize(vectors.mean(dim=1), dim=-1)


@exercise.wrong(
    "mean-over-classes",
    story="the mean runs over the classes, so there is a row a template",
    advice="the mean over the prompts of one class",
)
def mean_over_classes(encode_texts, names, templates):
    return F.normalize(encoded(encode_texts, names, templates).mean(dim=0), dim=-1)


@exercise.wrong(
    "all-prompts-kept",
    story="every prompt keeps a row of its own",
    advice="one row a class: the mean over its prompts",
)
def all_prompts_kept(encode_texts, names, templates):
    return encoded(encode_texts, names, templates).flatten(0, 1)


@exercise.wrong(
    "columns",
    story="the classes are the columns, (E, K)",
    advice="a row a class: (K, E)",
)
def columns(encode_texts, names, templates):
    return F.normalize(encoded(encode_texts, names, templates).mean(dim=1), dim=-1).T


@exercise.wrong(
    "normalised-over-classes",
    story="the lengths are taken over the classes and not over the width of a vector",
    advice="the last axis: dim=-1",
)
def normalised_over_classes(encode_texts, names, templates):
    return F.normalize(encoded(encode_texts, names, templates).mean(dim=1), dim=0)


@exercise.wrong(
    "centred",
    story="the mean of all classes is subtracted from each",
    advice="a class's row depends on its own prompts only",
)
def centred(encode_texts, names, templates):
    rows = encoded(encode_texts, names, templates).mean(dim=1)
    return F.normalize(rows - rows.mean(dim=0), dim=-1) if len(rows) > 1 else F.normalize(rows)


@exercise.disguise("not-normalised-again")
def plain_mean(encode_texts, names, templates):
    return torch.einsum("kpe->ke", encoded(encode_texts, names, templates)) / len(templates)


@exercise.right("all prompts at once")
def at_once(encode_texts, names, templates):
    checked(names, templates)
    texts = [template.replace("{}", name) for name in names for template in templates]
    vectors = encode_texts(texts).unflatten(0, (len(names), len(templates)))
    return F.normalize(vectors.sum(dim=1), dim=-1)


@exercise.right("template by template")
def by_template(encode_texts, names, templates):
    checked(names, templates)
    total = sum(encode_texts([t.format(name) for name in names]) for t in templates)
    return total / total.norm(dim=1, keepdim=True)
