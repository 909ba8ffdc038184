"""Exercise clip.CLIP: two towers into one space."""

import math

import torch
from torch import Tensor

from scratchmm.contrastive.clip import CLIP, CLIPConfig, CLIPOutput
from scratchmm.exercises.case import Case
from scratchmm.exercises.format import Exercise
from scratchmm.language.text_transformer import TextConfig
from scratchmm.vision.vit import ViTConfig

END = 20  # not the largest token, so that nobody finds it by argmax

exercise = Exercise(
    id="clip.CLIP",
    order=40,
    target="scratchmm.contrastive.clip:CLIP",
    title="Two towers, one space",
    goal="images and texts become unit vectors of one space",
    minutes=20,
    difficulty=2,
    section="Two towers",
    needs=("clip.Temperature",),
    methods={
        "encode_image": "vision tower, its projection, unit length: (B, E)",
        "encode_text": "text tower, the vector at the end token, its projection, unit length: (B, E)",
        "forward": "a CLIPOutput of the two embeddings and the scale",
    },
    hints=(
        "An image whose vector is (3, 4) after its projection becomes (0.6, 0.8): the same "
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


def small(case, clip_class):
    """A CLIP in which no two sizes are the same, every parameter filled."""
    vision = ViTConfig(8, 4, width=12, depth=1, heads=2, hidden=9, epsilon=1e-5)
    text = TextConfig(23, 7, width=16, depth=1, heads=4, hidden=11, end_token=END)
    clip = case.build(clip_class, CLIPConfig(vision, text, embedding=10))
    with torch.no_grad():
        clip.temperature.log_scale.fill_(1.3)
    return clip


def some_images(case: Case, B: int = 3) -> Tensor:
    """Random images; the batch is as large as that of the texts."""
    return case.normal(B=B, C=3, height=8, width=8)


def sentences(case: Case) -> Tensor:
    """Texts of 1 to 5 tokens between start (19) and end, padded with 22 and once with the end."""
    tokens = case.integers(0, 19, B=3, T=7)
    tokens[:, 0] = 19
    for row, (place, padding) in enumerate(((3, 22), (5, END), (2, 21))):
        tokens[row, place] = END
        tokens[row, place + 1 :] = padding
    return tokens


def image_oracle(clip: CLIP, images: Tensor) -> Tensor:
    """One image at a time, with the projection written out."""
    rows = [clip.vision(image[None])[0] for image in images]
    shared = torch.stack([clip.image_projection.weight @ row for row in rows])
    return shared / shared.pow(2).sum(1, keepdim=True).sqrt()


def text_oracle(clip: CLIP, tokens: Tensor) -> Tensor:
    """One text at a time, cut off behind its first end token."""
    rows = []
    for text in tokens:
        whole = text[: text.tolist().index(END) + 1]
        rows.append(clip.text_projection.weight @ clip.text(whole[None])[0, -1])
    return torch.stack([row / row.pow(2).sum().sqrt() for row in rows])


@exercise.holds("images become vectors (B, E)")
def image_shape(clip_class, case):
    case.sizes["E"] = 10
    case.shape(case.call(small(case, clip_class).encode_image, some_images(case)), "B E")


@exercise.holds("texts become vectors (B, E)")
def text_shape(clip_class, case):
    case.sizes["E"] = 10
    case.shape(case.call(small(case, clip_class).encode_text, sentences(case)), "B E")


@exercise.holds("every vector has length 1, those of images and those of texts")
def unit_length(clip_class, case):
    clip = small(case, clip_class)
    for encode, given in (
        (clip.encode_image, some_images(case)),
        (clip.encode_text, sentences(case)),
    ):
        lengths = case.call(encode, given).norm(dim=-1)
        case.equal(lengths, torch.ones(3), f"lengths in {encode.__name__}")


@exercise.holds("encode_image is the vision tower, the projection, unit length")
def image_numbers(clip_class, case):
    clip, images = small(case, clip_class), some_images(case)
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
    clip, images, tokens = small(case, clip_class), some_images(case), sentences(case)
    got = case.call(clip, images, tokens)
    case.true(isinstance(got, CLIPOutput), "a CLIPOutput", type(got).__name__)
    case.equal(got.image_embeddings, image_oracle(clip, images), "image_embeddings")
    case.equal(got.text_embeddings, text_oracle(clip, tokens), "text_embeddings")


@exercise.holds("the scale is what the temperature returns, at most 100")
def scale(clip_class, case):
    clip, images, tokens = small(case, clip_class), some_images(case), sentences(case)
    for log_scale, expected in ((1.3, math.exp(1.3)), (6.0, 100.0)):
        with torch.no_grad():
            clip.temperature.log_scale.fill_(log_scale)
        got = case.call(clip, images, tokens)
        case.equal(got.scale, torch.tensor(expected), f"scale at log_scale {log_scale}")


@exercise.holds("the gradients reach both towers, both projections and the temperature")
def gradients(clip_class, case):
    clip, images, tokens = small(case, clip_class).double(), some_images(case), sentences(case)

    def logits(images, tokens):
        return clip(images, tokens).logits

    def oracle(images, tokens):
        return clip.temperature() * image_oracle(clip, images) @ text_oracle(clip, tokens).T

    case.gradients(logits, oracle, images, tokens, parameters=clip)
