"""Zero-shot classification: text embeddings of the classes' names, in prompts, are the classifier.

Paper: CLIP (Radford et al. 2021, arXiv 2103.00020), section 3.1; prompt ensembles, section 3.1.4.
Dimensions: B batch, E width of the shared space, K classes, P prompts a class.
Differs from the paper: nothing.
"""

from collections.abc import Callable, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

TEMPLATES = ("a photo of a {}.", "a picture of a {}.", "this is a {}.")


def class_embeddings(
    encode_texts: Callable[[list[str]], Tensor],
    names: Sequence[str],
    templates: Sequence[str] = TEMPLATES,
) -> Tensor:
    """One unit vector a class: the mean of its prompts' unit vectors, made unit length again.

    encode_texts: a list of P sentences to unit vectors (P, E), such as
    `lambda texts: clip.encode_text(tokenizer.batch(texts, length)[0])`; names: K class names;
    templates: sentences with a {} for the name. Returns (K, E). A template without {} is refused
    (ValueError), and so are no names or no templates.

    >>> def encode_texts(texts):
    ...     return torch.nn.functional.one_hot(torch.tensor([len(t) for t in texts]), 9).float()
    >>> class_embeddings(encode_texts, ["cat", "horse"], ["{}"]).argmax(dim=-1).tolist()
    [3, 5]
    """
    for template in templates:
        if "{}" not in template:
            raise ValueError(f"the template {template!r} has no {{}} for the class name")
    if not names or not templates:
        raise ValueError(
            f"{len(names)} class names and {len(templates)} templates classify nothing"
        )
    rows = []
    for name in names:
        prompts = encode_texts([template.format(name) for template in templates])  # (P, E)
        rows.append(F.normalize(prompts.mean(dim=0), dim=-1))  # (E,)
    return torch.stack(rows)  # (K, E)


def zero_shot(image_embeddings: Tensor, classes: Tensor, scale: Tensor | float = 100.0) -> Tensor:
    """The probability of each class for each image: softmax(scale * image . class) over classes.

    image_embeddings: unit vectors (B, E); classes: unit vectors (K, E), from `class_embeddings`;
    scale: the model's, 1 / temperature. Returns (B, K).

    >>> zero_shot(torch.eye(2), torch.eye(2)).round().tolist()
    [[1.0, 0.0], [0.0, 1.0]]
    """
    if image_embeddings.shape[-1] != classes.shape[-1]:
        raise ValueError(
            f"images have width {image_embeddings.shape[-1]} but classes {classes.shape[-1]}"
        )
    logits = scale * image_embeddings @ classes.T  # (B, K)
    return logits.softmax(dim=-1)  # (B, K)
