"""CLIPScore: how well an image matches a text, by CLIP's cosine and without references.

Paper: CLIPScore, a Reference-free Evaluation Metric for Image Captioning (Hessel et al. 2021,
arXiv 2104.08718), section 3.
Dimensions: B batch, R reference captions, E width of the embeddings.
Conventions: scores are from 0 to 2.5, as in the paper; others report 100 * cosine. The paper puts
"A photo depicts" before each caption. Scores of different CLIPs cannot be compared.
Differs from the paper: nothing.
"""

import torch  # noqa: F401  (for the examples)
from torch import Tensor

from scratchmm.layers import vectors

WEIGHT = 2.5  # with the published CLIPs, scores then spread over about 0 to 1


def clip_score(image_embeddings: Tensor, text_embeddings: Tensor) -> Tensor:
    """2.5 * max(cosine, 0) of each image with its text: both (B, E), vectors of any length.

    Returns (B,) of their dtype; a zero embedding scores 0. Raises ValueError unless both are (B, E)
    alike.

    >>> clip_score(torch.tensor([[3.0, 0.0], [1.0, 0.0]]), torch.tensor([[1.0, 0.0], [-1.0, 0.0]]))
    tensor([2.5000, 0.0000])
    """
    if image_embeddings.shape != text_embeddings.shape or image_embeddings.ndim != 2:
        shapes = f"{tuple(image_embeddings.shape)} and {tuple(text_embeddings.shape)}"
        raise ValueError(f"embeddings of images and words are {shapes}, not the same (B, E)")
    cosine = vectors.cosine(image_embeddings, text_embeddings)  # (B,)
    return (WEIGHT * cosine.clamp(min=0)).to(image_embeddings.dtype)  # (B,)


def ref_clip_score(
    image_embeddings: Tensor, text_embeddings: Tensor, reference_embeddings: Tensor
) -> Tensor:
    """With human captions: harmonic mean of CLIPScore and the closest reference's cosine.

    reference_embeddings: (B, R, E). Returns (B,); 0 where either is 0. Raises ValueError where the
    three do not belong together.

    >>> image, caption = torch.tensor([[1.0, 0.0]]), torch.tensor([[1.0, 0.0]])
    >>> ref_clip_score(image, caption, torch.tensor([[[0.0, 1.0], [2.0, 0.0]]]))
    tensor([1.4286])
    """
    score = clip_score(image_embeddings, text_embeddings)
    batch, width = text_embeddings.shape
    references = tuple(reference_embeddings.shape)
    if len(references) != 3 or references[::2] != (batch, width) or references[1] < 1:
        raise ValueError(f"references are {references} for captions {(batch, width)}")
    alike = vectors.cosine(text_embeddings[:, None], reference_embeddings)  # (B, R)
    closest = alike.amax(dim=1).clamp(min=0)  # (B,)
    both = score + closest
    score = 2 * score * closest / both.where(both > 0, 1.0)  # (B,)
    return score.to(image_embeddings.dtype)  # (B,)
