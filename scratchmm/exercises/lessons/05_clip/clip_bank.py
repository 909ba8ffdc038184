"""Wrong and other right answers to clip.CLIP."""

import torch
import torch.nn.functional as F
from torch import nn

from scratchmm.exercises.format import exercise_file

exercise = exercise_file("05_clip/clip").exercise

exercise.edit(
    "image-not-normalised",
    ("F.normalize(self.image_projection(pooled), dim=-1)", "self.image_projection(pooled)"),
    story="the images' vectors keep their length",
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
    story="neither images nor texts become unit vectors",
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
    "image-not-projected",
    ("self.image_projection(pooled)", "pooled"),
    story="the image's projection is left out",
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
    story="the image is the mean of its patches and not the CLS token",
    advice="self.vision(images) already gives one vector an image",
    convention=True,
)
exercise.edit(
    "no-last-norm",
    ("self.vision(images)", "self.vision.tokens(images)[:, 0]"),
    story="the image's last norm is left out",
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
    story="the texts are handed over as the images, and the images as the texts",
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
    "image-tower-frozen",
    ("pooled = self.vision(images)", "pooled = self.vision(images).detach()"),
    story="no gradient reaches the vision tower",
    advice="both towers learn from nothing: no detach(), no no_grad",
    convention=True,
)


@exercise.disguise("pooled-at-the-last-token", method="encode_text")
def last_token(self, tokens):
    shared = self.text_projection(self.text(tokens)[:, tokens.shape[1] - 1, :])
    return shared / shared.norm(dim=1, keepdim=True)


@exercise.disguise("image-not-normalised", method="encode_image")
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
