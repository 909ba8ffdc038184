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
    hints="""
        1. Two prompts about a cat, with the vectors (1, 0) and (0, 1). Their mean is (0.5, 0.5), of
           length 0.71; the class's vector is (0.71, 0.71), of length 1. The name goes into the
           braces: 'a photo of a {}.' becomes 'a photo of a cat.', and that sentence is encoded.
        2. The vectors of several wordings scatter around a class, and their mean is nearer to it
           than each. A mean of different unit vectors is shorter than 1, the more so the more they
           differ: without unit length again such a class would lose every comparison.
        3. First refuse a template without {}, no names, no templates. Then for each of K names: P
           sentences, encoded to (P, E), mean over P gives (E,), unit length. Stack them to (K, E).
        4. for name in names: prompts = encode_texts([template.format(name) for template in
           templates]); rows.append(F.normalize(prompts.mean(dim=0), dim=-1)); torch.stack(rows)
    """,
)

NAMES = ["cat", "Horse", "red star", "T-shirt/top"]
TEMPLATES = ["a photo of a {}.", "{}, drawn by hand", "this is a {}."]


class Encoder:
    """A text tower for the test: every sentence has a unit vector that depends on its letters."""

    def __init__(self, seed: int, width: int = 5) -> None:
        self.seed, self.width = seed, width
        self.texts: list[str] = []

    def one(self, text: str) -> Tensor:
        """The vector of one sentence; those of one test point roughly the same way."""
        seed = (zlib.crc32(text.encode()) + self.seed) % 2**31
        vector = torch.randn(self.width, generator=torch.Generator().manual_seed(seed))
        return F.normalize(vector + 0.5, dim=0)

    def __call__(self, texts: list[str]) -> Tensor:
        self.texts += list(texts)
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
    odd = sorted(expected ^ set(encoder.texts))
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


@exercise.holds("a name that comes twice has two rows")
def twice(class_embeddings, case):
    encoder, names = encoder_of(case), [NAMES[0], NAMES[1], NAMES[0]]
    got = case.call(class_embeddings, encoder, names, TEMPLATES)
    case.equal(got, slow(encoder, names, TEMPLATES))


@exercise.holds("a template without {}, no names and no templates are refused with a ValueError")
def refused(class_embeddings, case):
    for names, templates in ((NAMES, ["a {}", "a photo"]), ([], TEMPLATES), (NAMES, [])):
        case.refuses(ValueError, class_embeddings, encoder_of(case), names, templates)


exercise.mistakes("""
    not-normalised-again: the means are not made unit length again
    - rows.append(F.normalize(prompts.mean(dim=0), dim=-1))
    + rows.append(prompts.mean(dim=0))
    > a mean of unit vectors is shorter than 1: F.normalize it

    all-prompts-kept: every prompt keeps a row of its own
    - rows.append(F.normalize(prompts.mean(dim=0), dim=-1))
    + rows.extend(prompts)
    > one row a class: the mean over its prompts

    one-long-prompt: all prompts of a class are joined to one long text
    - prompts = encode_texts([template.format(name) for template in templates])
    + prompts = encode_texts([" ".join(template.format(name) for template in templates)])
    > encode each prompt by itself, and take the mean of the vectors

    classes-mixed: the prompts come template by template, but are cut class by class
    - return torch.stack(rows)
    + texts = [template.format(name) for template in templates for name in names]
    + vectors = encode_texts(texts).view(len(names), len(templates), -1)
    + return F.normalize(vectors.mean(dim=1), dim=-1)
    > (P, K, E) is not (K, P, E): build the list name by name, or mean over the first axis

    rows-by-name: a name that comes twice has one row only
    - for name in names:
    + for name in dict.fromkeys(names):
    > a row for each of names, in their order

    centred: the mean of all classes is subtracted from each
    - rows.append(F.normalize(prompts.mean(dim=0), dim=-1))
    + rows.append(prompts.mean(dim=0))
    - return torch.stack(rows)
    + return F.normalize(torch.stack(rows) - torch.stack(rows).mean(dim=0), dim=-1)
    > a class's row depends on its own prompts only
""")

exercise.slips("""
    F.normalize(prompts.mean(dim=0), dim=-1) => prompts.sum(dim=0)
    dim=-1 => p=1, dim=-1
    prompts.mean(dim=0) => prompts[0]
    prompts.mean(dim=0) => prompts.amax(dim=0)
    template.format(name) => template
    template.format(name) => name
    template.format(name) => template.format(name).lower()
    torch.stack(rows) => torch.stack(rows).T
    F.normalize(prompts.mean(dim=0), dim=-1) => prompts.mean(dim=0) ;; torch.stack(rows) =>
        F.normalize(torch.stack(rows), dim=0)
    prompts.mean(dim=0) => prompts[-1]
    F.normalize(prompts.mean(dim=0), dim=-1) => prompts ;; torch.stack(rows) =>
        F.normalize(torch.stack(rows).mean(dim=0), dim=-1)
""")


@exercise.disguise("not-normalised-again")
def plain_mean(encode_texts, names, templates):
    rows = [encode_texts([t.format(name) for t in templates]) for name in names]
    return torch.einsum("kpe->ke", torch.stack(rows)) / len(templates)


@exercise.refusing
def refuse(encode_texts, names, templates):
    if not names or not templates or any("{}" not in template for template in templates):
        raise ValueError("nothing to classify with")


@exercise.right("all prompts at once")
def at_once(encode_texts, names, templates):
    texts = [template.replace("{}", name) for name in names for template in templates]
    vectors = encode_texts(texts).unflatten(0, (len(names), len(templates)))
    return F.normalize(vectors.sum(dim=1), dim=-1)


@exercise.right("template by template")
def by_template(encode_texts, names, templates):
    total = sum(encode_texts([t.format(name) for name in names]) for t in templates)
    return total / total.norm(dim=1, keepdim=True)
