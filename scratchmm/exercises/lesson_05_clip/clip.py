"""Exercise clip.CLIP: two towers into one space."""

# mypy: allow-untyped-defs

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from scratchmm.contrastive.clip import CLIPConfig, CLIPOutput
from scratchmm.exercises.case import Case
from scratchmm.exercises.format import Exercise
from scratchmm.language.text_transformer import TextConfig
from scratchmm.vision.vit import ViTConfig

END = 20  # not the largest token, so that nobody finds it by argmax

exercise = Exercise(
    id="clip.CLIP",
    target="scratchmm.contrastive.clip:CLIP",
    title="Two towers, one space",
    goal="pictures and texts become unit vectors of one space",
    minutes=20,
    difficulty=2,
    section="Two towers",
    needs=("clip.Temperature",),
    methods={
        "encode_image": "picture tower, its projection, unit length: (B, E)",
        "encode_text": "text tower, the vector at the end token, its projection, unit length: (B, E)",
        "forward": "a CLIPOutput of the two embeddings and the scale",
    },
    hints=(
        "A picture whose vector is (3, 4) after its projection becomes (0.6, 0.8): the same "
        "direction, length 1. A text [start, a, star, end, pad, pad] is taken at position 3, for "
        "only that token has read all of it, and nothing after it counts.",
        "Each tower ends in one vector a sample; a Linear layer without bias brings it to the width "
        "E that both share; then only its direction is kept, so that a dot product is a cosine. "
        "The text tower gives a vector for every token: one of them must be picked.",
        "encode_image: vision gives (B, D), the projection (B, E), then divide by the length along "
        "the last axis. encode_text: text gives (B, T, D), pool_at_end with the config's end token "
        "gives (B, D), then as above. forward: both, and what self.temperature() returns.",
        "F.normalize(self.image_projection(self.vision(images)), dim=-1); pooled = "
        "pool_at_end(self.text(tokens), tokens, self.config.text.end_token); "
        "CLIPOutput(self.encode_image(images), self.encode_text(tokens), self.temperature())",
    ),
)


def small(case: Case, clip_class):
    """A CLIP in which no two sizes are the same, every parameter filled."""
    vision = ViTConfig(8, 4, width=12, depth=1, heads=2, hidden=9, epsilon=1e-5)
    text = TextConfig(23, 7, width=16, depth=1, heads=4, hidden=11, end_token=END)
    clip = case.build(clip_class, CLIPConfig(vision, text, embedding=10))
    with torch.no_grad():
        clip.temperature.log_scale.fill_(1.3)
    return clip


def pictures(case: Case, B: int = 3) -> Tensor:
    """Random pictures; the batch is as large as that of the texts."""
    return case.normal(B=B, C=3, height=8, width=8)


def sentences(case: Case) -> Tensor:
    """Texts of 1 to 5 tokens between start (19) and end, padded with 22 and once with the end."""
    tokens = case.integers(0, 19, B=3, T=7)
    tokens[:, 0] = 19
    for row, (place, padding) in enumerate(((3, 22), (5, END), (2, 21))):
        tokens[row, place] = END
        tokens[row, place + 1 :] = padding
    return tokens


def image_oracle(clip, images: Tensor) -> Tensor:
    """One picture at a time, with the projection written out."""
    rows = [clip.vision(image[None])[0] for image in images]
    shared = torch.stack([clip.image_projection.weight @ row for row in rows])
    return shared / shared.pow(2).sum(1, keepdim=True).sqrt()


def text_oracle(clip, tokens: Tensor) -> Tensor:
    """One text at a time, cut off behind its first end token."""
    rows = []
    for text in tokens:
        whole = text[: text.tolist().index(END) + 1]
        rows.append(clip.text_projection.weight @ clip.text(whole[None])[0, -1])
    return torch.stack([row / row.pow(2).sum().sqrt() for row in rows])


@exercise.holds("pictures become vectors (B, E)")
def image_shape(clip_class, case):
    case.sizes["E"] = 10
    case.shape(case.call(small(case, clip_class).encode_image, pictures(case)), "B E")


@exercise.holds("texts become vectors (B, E)")
def text_shape(clip_class, case):
    case.sizes["E"] = 10
    case.shape(case.call(small(case, clip_class).encode_text, sentences(case)), "B E")


@exercise.holds("every vector has length 1, those of pictures and those of texts")
def unit_length(clip_class, case):
    clip = small(case, clip_class)
    for encode, given in ((clip.encode_image, pictures(case)), (clip.encode_text, sentences(case))):
        lengths = case.call(encode, given).norm(dim=-1)
        case.equal(lengths, torch.ones(3), f"lengths in {encode.__name__}")


@exercise.holds("encode_image is the picture tower, the projection, unit length")
def image_numbers(clip_class, case):
    clip, images = small(case, clip_class), pictures(case)
    case.equal(case.call(clip.encode_image, images), image_oracle(clip, images))


@exercise.holds("encode_text reads off the first end token, then the projection, unit length")
def text_numbers(clip_class, case):
    clip, tokens = small(case, clip_class), sentences(case)
    case.equal(case.call(clip.encode_text, tokens), text_oracle(clip, tokens))


@exercise.holds("what stands behind the end token changes nothing")
def behind_the_end(clip_class, case):
    clip, tokens = small(case, clip_class), sentences(case)
    other = tokens.clone()
    other[0, 4:] = torch.tensor([7, 21, END])
    one = case.call(clip.encode_text, tokens)
    case.equal(case.call(clip.encode_text, case.named(other, "B T")), one)


@exercise.holds("forward gives a CLIPOutput: image_embeddings, text_embeddings, scale")
def output(clip_class, case):
    clip, images, tokens = small(case, clip_class), pictures(case), sentences(case)
    got = case.call(clip, images, tokens)
    case.true(isinstance(got, CLIPOutput), "a CLIPOutput", type(got).__name__)
    case.equal(got.image_embeddings, image_oracle(clip, images), "image_embeddings")
    case.equal(got.text_embeddings, text_oracle(clip, tokens), "text_embeddings")


@exercise.holds("the scale is what the temperature returns, at most 100")
def scale(clip_class, case):
    clip, images, tokens = small(case, clip_class), pictures(case), sentences(case)
    for log_scale, expected in ((1.3, math.exp(1.3)), (6.0, 100.0)):
        with torch.no_grad():
            clip.temperature.log_scale.fill_(log_scale)
        got = case.call(clip, images, tokens)
        case.equal(got.scale, torch.tensor(expected), f"scale at log_scale {log_scale}")


@exercise.holds("the gradients reach both towers, both projections and the temperature")
def gradients(clip_class, case):
    clip, images, tokens = small(case, clip_class).double(), pictures(case), sentences(case)

    def logits(images, tokens):
        return clip(images, tokens).logits

    def oracle(images, tokens):
        return clip.temperature() * image_oracle(clip, images) @ text_oracle(clip, tokens).T

    case.gradients(logits, oracle, images, tokens, parameters=clip)


exercise.edit(
    "picture-not-normalised",
    ("F.normalize(self.image_projection(pooled), dim=-1)", "self.image_projection(pooled)"),
    story="the pictures' vectors keep their length",
    advice="divide each vector by its length: F.normalize(..., dim=-1)",
)
exercise.edit(
    "text-not-normalised",
    ("F.normalize(self.text_projection(pooled), dim=-1)", "self.text_projection(pooled)"),
    story="the texts' vectors keep their length",
    advice="divide each vector by its length: F.normalize(..., dim=-1)",
)
exercise.edit(
    "nothing-normalised",
    ("F.normalize(self.image_projection(pooled), dim=-1)", "self.image_projection(pooled)"),
    ("F.normalize(self.text_projection(pooled), dim=-1)", "self.text_projection(pooled)"),
    story="neither pictures nor texts become unit vectors",
    advice="only directions are compared: F.normalize(..., dim=-1) in both encoders",
)
exercise.edit(
    "normalised-over-the-batch",
    ("F.normalize(self.image_projection(pooled), dim=-1)",
     "F.normalize(self.image_projection(pooled), dim=0)"),
    ("F.normalize(self.text_projection(pooled), dim=-1)",
     "F.normalize(self.text_projection(pooled), dim=0)"),
    story="the lengths are taken over the batch and not over the width of a vector",
    advice="the last axis: dim=-1",
)  # fmt: skip
exercise.edit(
    "normalised-before-the-projection",
    ("F.normalize(self.image_projection(pooled), dim=-1)",
     "self.image_projection(F.normalize(pooled, dim=-1))"),
    ("F.normalize(self.text_projection(pooled), dim=-1)",
     "self.text_projection(F.normalize(pooled, dim=-1))"),
    story="the vectors are made unit length before the projection, which changes it again",
    advice="first the projection, then unit length",
)  # fmt: skip
exercise.edit(
    "divided-by-the-sum",
    ("F.normalize(self.image_projection(pooled), dim=-1)",
     "F.normalize(self.image_projection(pooled), p=1, dim=-1)"),
    ("F.normalize(self.text_projection(pooled), dim=-1)",
     "F.normalize(self.text_projection(pooled), p=1, dim=-1)"),
    story="the vectors are divided by the sum of their absolute values",
    advice="length is the root of the sum of squares",
)  # fmt: skip
exercise.edit(
    "picture-not-projected",
    ("self.image_projection(pooled)", "pooled"),
    story="the picture's projection is left out",
    advice="the towers have different widths: each needs its projection into the shared space",
)
exercise.edit(
    "text-not-projected",
    ("self.text_projection(pooled)", "pooled"),
    story="the text's projection is left out",
    advice="the towers have different widths: each needs its projection into the shared space",
)
exercise.edit(
    "mean-of-patches",
    ("self.vision(images)", "self.vision.norm_after(self.vision.tokens(images)[:, 1:].mean(1))"),
    story="the picture is the mean of its patches and not the CLS token",
    advice="self.vision(images) already gives one vector a picture",
    convention=True,
)
exercise.edit(
    "no-last-norm",
    ("self.vision(images)", "self.vision.tokens(images)[:, 0]"),
    story="the picture's last norm is left out",
    advice="call self.vision(images), not its tokens",
)
exercise.edit(
    "pooled-at-the-last-token",
    ("pool_at_end(hidden, tokens, self.config.text.end_token)", "hidden[:, -1]"),
    story="the text is taken at its last position, which is padding in short texts",
    advice="take the vector at the end token: pool_at_end",
)
exercise.edit(
    "pooled-at-the-start",
    ("pool_at_end(hidden, tokens, self.config.text.end_token)", "hidden[:, 0]"),
    story="the text is taken at its first token, which has read nothing: the reader is causal",
    advice="take the vector at the end token: pool_at_end",
)
exercise.edit(
    "pooled-before-the-end",
    ("pool_at_end(hidden, tokens, self.config.text.end_token)",
     "hidden[torch.arange(len(tokens)), "
     "(tokens == self.config.text.end_token).int().argmax(1) - 1]"),
    story="the text is taken one token before its end",
    advice="the vector at the end token itself",
)  # fmt: skip
exercise.edit(
    "mean-of-tokens",
    ("pool_at_end(hidden, tokens, self.config.text.end_token)", "hidden.mean(1)"),
    story="the text is the mean of all its positions, padding too",
    advice="take the vector at the end token: pool_at_end",
    convention=True,
)
exercise.edit(
    "pooled-at-the-largest-token",
    ("pool_at_end(hidden, tokens, self.config.text.end_token)",
     "hidden[torch.arange(len(tokens)), tokens.argmax(1)]"),
    story="the text is taken where the token's number is largest, as the published code does",
    advice="that is the end token only in their vocabulary: look for config.text.end_token",
    convention=True,
)  # fmt: skip
exercise.edit(
    "pooled-at-the-last-end",
    ("pool_at_end(hidden, tokens, self.config.text.end_token)",
     "hidden[torch.arange(len(tokens)), -1 - "
     "(tokens == self.config.text.end_token).int().flip(1).argmax(1)]"),
    story="the text is taken at its last end token, but some pad with end tokens",
    advice="the first end token of each text",
)  # fmt: skip
exercise.edit(
    "towers-exchanged",
    ("CLIPOutput(self.encode_image(images), self.encode_text(tokens),",
     "CLIPOutput(self.encode_text(tokens), self.encode_image(images),"),
    story="the texts are handed over as the pictures, and the pictures as the texts",
    advice="CLIPOutput(image_embeddings, text_embeddings, scale)",
)  # fmt: skip
exercise.edit(
    "a-plain-tuple",
    ("return CLIPOutput(self.encode_image(images), self.encode_text(tokens), self.temperature())",
     "return self.encode_image(images), self.encode_text(tokens), self.temperature()"),
    story="a plain tuple is returned, which has no names and no logits",
    advice="CLIPOutput(image_embeddings, text_embeddings, scale)",
)  # fmt: skip
exercise.edit(
    "logits-returned",
    ("return CLIPOutput(self.encode_image(images), self.encode_text(tokens), self.temperature())",
     "return self.temperature() * self.encode_image(images) @ self.encode_text(tokens).T"),
    story="the matrix of logits is returned, and not the embeddings",
    advice="hand over a CLIPOutput; its property `logits` makes the matrix",
)  # fmt: skip
exercise.edit(
    "raw-log-scale",
    ("self.temperature())", "self.temperature.log_scale)"),
    story="the scale is handed over as its logarithm",
    advice="call the temperature: self.temperature()",
)
exercise.edit(
    "no-limit",
    ("self.temperature())", "self.temperature.log_scale.exp())"),
    story="the scale goes round the temperature's limit",
    advice="call the temperature: self.temperature()",
)
exercise.edit(
    "temperature-and-not-scale",
    ("self.temperature())", "1 / self.temperature())"),
    story="the temperature is handed over, and not the scale, 1 / temperature",
    advice="self.temperature() returns the scale already",
)
exercise.edit(
    "scale-detached",
    ("self.temperature())", "self.temperature().detach())"),
    story="the scale is cut off, so the temperature never learns",
    advice="no detach(), no item()",
)
exercise.edit(
    "text-tower-frozen",
    ("hidden = self.text(tokens)", "hidden = self.text(tokens).detach()"),
    story="no gradient reaches the text tower",
    advice="both towers learn from nothing: no detach(), no no_grad",
)
exercise.edit(
    "picture-tower-frozen",
    ("pooled = self.vision(images)", "pooled = self.vision(images).detach()"),
    story="no gradient reaches the picture tower",
    advice="both towers learn from nothing: no detach(), no no_grad",
    convention=True,
)


@exercise.disguise("pooled-at-the-last-token", method="encode_text")
def last_token(self, tokens):
    shared = self.text_projection(self.text(tokens)[:, tokens.shape[1] - 1, :])
    return shared / shared.norm(dim=1, keepdim=True)


@exercise.disguise("picture-not-normalised", method="encode_image")
def longer(self, images):
    return self.vision(images) @ self.image_projection.weight.mT


@exercise.right("lengths by hand", method="encode_image")
def by_hand(self, images):
    shared = torch.einsum("bd,ed->be", self.vision(images), self.image_projection.weight)
    return shared * shared.square().sum(1, keepdim=True).rsqrt()


@exercise.right("first end by cumulative sum", method="encode_text")
def by_cumulative_sum(self, tokens):
    hidden, ends = self.text(tokens), (tokens == self.config.text.end_token).int()
    first = ends * (ends.cumsum(1) == 1).int()
    pooled = (hidden * first[..., None]).sum(1)
    return nn.functional.normalize(self.text_projection(pooled), dim=1)


@exercise.right("project first, pick later", method="encode_text")
def project_first(self, tokens):
    shared = F.normalize(self.text_projection(self.text(tokens)), dim=-1)
    rows = [
        row[text.tolist().index(self.config.text.end_token)] for row, text in zip(shared, tokens)
    ]
    return torch.stack(rows)
