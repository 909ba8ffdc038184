"""Exercise two_tower.TwoTower: towers of two modalities into one space."""

import math

import torch
from torch import Tensor, nn

from scratchmm.contrastive.clip import CLIPText, CLIPVision
from scratchmm.contrastive.two_tower import TwoTower, TwoTowerOutput
from scratchmm.exercises.case import Case
from scratchmm.exercises.format import Exercise
from scratchmm.language.text_transformer import TextConfig
from scratchmm.vision.vit import ViTConfig

END = 20  # not the largest token, so that argmax does not find it

exercise = Exercise(
    id="two_tower.TwoTower",
    order=40,
    target="scratchmm.contrastive.two_tower:TwoTower",
    title="Two towers, one space",
    goal="samples of every modality become unit vectors of one space",
    minutes=20,
    difficulty=2,
    section="Two towers",
    needs=("two_tower.LogitScale",),
    methods={
        "encode": "the tower of that name, its projection, unit length: (B, E)",
        "forward": "a TwoTowerOutput: the embedding of each modality of the batch, and the scale",
    },
    hints="""
        1. An image whose vector is (3, 4) after its projection becomes (0.6, 0.8): the same
           direction, length 1. A batch of image and text gives two embeddings under these names.
        2. Each tower ends in one vector a sample; a Linear layer without bias brings it to the
           width E that all share; then only its direction is kept, so a dot product is a cosine.
        3. encode: the tower of that name gives (B, D), the projection of that name (B, E), then
           divide by the length along the last axis. forward: for each name of the batch encode
           what is given, a tuple as several arguments; and what self.logit_scale() returns.
        4. pooled = self.towers[name](*inputs); F.normalize(self.projections[name](pooled),
           dim=-1); embeddings[name] = self.encode(name, *inputs); TwoTowerOutput(embeddings, scale)
    """,
)


class Masked(nn.Module):
    """A tower that takes two tensors: the mean of the marked rows, through a Linear layer."""

    def __init__(self) -> None:
        super().__init__()
        self.output = nn.Linear(5, 6)

    def forward(self, rows: Tensor, marked: Tensor) -> Tensor:
        kept = rows * marked[..., None]  # (B, L, 5)
        return self.output(kept.sum(1) / marked.sum(1, keepdim=True))  # (B, 6)


def small(case, tower_class):
    """Three towers of which no two sizes are the same, every parameter filled."""
    vision = ViTConfig(8, 4, width=12, depth=1, heads=2, hidden=9, epsilon=1e-5)
    text = TextConfig(23, 7, width=16, depth=1, heads=4, hidden=11, end_token=END)
    towers = {"image": CLIPVision(vision), "text": CLIPText(text), "sound": Masked()}
    model = case.build(tower_class, towers, {"image": 12, "text": 16, "sound": 6}, embedding=10)
    with torch.no_grad():
        model.logit_scale.log_scale.fill_(1.3)
    return model


def some_images(case: Case) -> Tensor:
    """Random images; the batch is as large as that of the texts."""
    return case.normal(B=3, C=3, height=8, width=8)


def sentences(case: Case) -> Tensor:
    """Texts of 1 to 5 tokens between start (19) and end, padded with 22 and once with the end."""
    tokens = case.integers(0, 19, B=3, T=7)
    tokens[:, 0] = 19
    for row, (place, padding) in enumerate(((3, 22), (5, END), (2, 21))):
        tokens[row, place] = END
        tokens[row, place + 1 :] = padding
    return tokens


def sounds(case: Case) -> tuple[Tensor, Tensor]:
    """Rows, and which of them count."""
    return case.normal(B=3, L=4, D=5), torch.tensor([[1, 1, 0, 1], [1, 0, 0, 0], [1, 1, 1, 1]])


def oracle(model: TwoTower, name: str, *inputs: Tensor) -> Tensor:
    """One sample at a time, with the projection written out."""
    projection = next(model.projections[name].parameters())
    samples = zip(*inputs, strict=True)
    vectors = [model.towers[name](*(part[None] for part in sample))[0] for sample in samples]
    shared = [torch.stack([(row * vector).sum() for row in projection]) for vector in vectors]
    return torch.stack([one / one.pow(2).sum().sqrt() for one in shared])


@exercise.holds("samples become vectors (B, E) of length 1, whatever their modality")
def unit_length(tower_class, case):
    model, case.sizes["E"] = small(case, tower_class), 10
    for name, given in (("image", some_images(case)), ("text", sentences(case))):
        got = case.call(model.encode, name, given)
        case.shape(got, "B E")
        case.equal(got.norm(dim=-1), torch.ones(3), f"lengths of {name}")


@exercise.holds("encode is the tower, its projection, unit length; a tower may take two tensors")
def numbers(tower_class, case):
    model = small(case, tower_class)
    for name, given in (("text", (sentences(case),)), ("sound", sounds(case))):
        case.equal(case.call(model.encode, name, *given), oracle(model, name, *given), name)


@exercise.holds("forward gives a TwoTowerOutput: embeddings by name, of a tuple as of two tensors")
def output(tower_class, case):
    model, given, tokens = small(case, tower_class), sounds(case), sentences(case)
    got = case.call(model, {"sound": given, "text": tokens})
    case.true(isinstance(got, TwoTowerOutput), "a TwoTowerOutput", type(got).__name__)
    case.true(isinstance(got.embeddings, dict), "a dict of embeddings", got.embeddings)
    expected = {"sound": oracle(model, "sound", *given), "text": oracle(model, "text", tokens)}
    case.equal(got.embeddings, expected, "embeddings")


@exercise.holds("the scale is what logit_scale returns, at most 100")
def scale(tower_class, case):
    model, tokens = small(case, tower_class), sentences(case)
    for log_scale, expected in ((1.3, math.exp(1.3)), (6.0, 100.0)):
        with torch.no_grad():
            model.logit_scale.log_scale.fill_(log_scale)
        got = case.call(model, {"text": tokens})
        case.equal(got.scale, torch.tensor(expected), f"scale at log_scale {log_scale}")


@exercise.holds("the gradients reach both towers, both projections and the scale")
def gradients(tower_class, case):
    model, images, tokens = small(case, tower_class).double(), some_images(case), sentences(case)

    def logits(images, tokens):
        return model({"image": images, "text": tokens}).logits("image", "text")

    def expected(images, tokens):
        image, text = oracle(model, "image", images), oracle(model, "text", tokens)
        return model.logit_scale() * image @ text.T

    case.gradients(logits, expected, images, tokens, parameters=model)


exercise.mistakes("""
    one-modality-normalised: only the images become unit vectors
    - return F.normalize(self.projections[name](pooled), dim=-1)
    + shared = self.projections[name](pooled)
    + return F.normalize(shared, dim=-1) if name == "image" else shared
    > only directions are compared: F.normalize(..., dim=-1) for every modality

    normalised-before-the-projection: the vectors are normalized before the projection
    - F.normalize(self.projections[name](pooled), dim=-1)
    + self.projections[name](F.normalize(pooled, dim=-1))
    > the projection changes their length again: first the projection, then unit length

    modalities-exchanged: the text embeddings stand under image, and those of images under text
    - return TwoTowerOutput(embeddings, self.logit_scale())
    + embeddings = dict(zip(embeddings, reversed(embeddings.values())))
    + return TwoTowerOutput(embeddings, self.logit_scale())
    > each embedding stands under the name of its own modality

    all-towers-asked: every tower must be in the batch, or it stops with a KeyError
    - for name, inputs in batch.items():
    + for name in self.towers:
    +     inputs = batch[name]
    > a batch may lack a modality: loop over the batch, not over the towers

    logits-returned: the matrix of logits is returned, and not the embeddings
    - return TwoTowerOutput(embeddings, self.logit_scale())
    + rows = [*embeddings.values()]
    + return self.logit_scale() * rows[0] @ rows[-1].T
    > return a TwoTowerOutput; its method `logits` makes the matrix

    text-tower-frozen: no gradient reaches the text tower
    - pooled = self.towers[name](*inputs)
    + pooled = self.towers[name](*inputs)
    + pooled = pooled.detach() if name == "text" else pooled
    > all towers learn: no detach(), no no_grad
""")

exercise.slips("""
    (*inputs) => (inputs[0])
    self.projections[name](pooled) => pooled
    (pooled), dim=-1 => (pooled), p=1, dim=-1
    TwoTowerOutput(embeddings, self.logit_scale()) => embeddings, self.logit_scale()
    TwoTowerOutput(embeddings => TwoTowerOutput([*embeddings.values()]
    self.logit_scale() => self.logit_scale.log_scale
    self.logit_scale() => self.logit_scale.log_scale.exp()
    self.logit_scale() => 1 / self.logit_scale()
    self.logit_scale() => self.logit_scale().detach()
    (*inputs) => (*inputs).detach()
""")


@exercise.right("lengths by hand", method="encode")
def by_hand(self, name, *inputs):
    shared = torch.einsum("bd,ed->be", self.towers[name](*inputs), self.projections[name].weight)
    return shared * shared.square().sum(1, keepdim=True).rsqrt()


@exercise.right("one comprehension", method="forward")
def comprehension(self, batch):
    inputs = {name: x if isinstance(x, tuple) else (x,) for name, x in batch.items()}
    embeddings = {name: self.encode(name, *inputs[name]) for name in inputs}
    return TwoTowerOutput(embeddings=embeddings, scale=self.logit_scale())
