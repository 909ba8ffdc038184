"""scratchmm: multimodal AI written out by hand in plain PyTorch.

The main names, each with the file that defines it:

    attend, MultiHeadAttention   attention: layers/attention.py
    TransformerBlock             the block of every transformer here: layers/transformer.py
    ViTClassifier                the Vision Transformer: vision/vit.py
    ResNetClassifier             ResNet: vision/resnet.py
    BytePairEncoding             the tokenizer: language/bpe.py
    BERT                         language/bert.py
    CLIP, contrastive_loss       images and texts in one space: contrastive/clip.py, loss.py
    ViLT                         images and texts in one stream: fusion/vilt.py
    UNet                         from noise to images: diffusion/unet.py
    AudioCNN                     classifies sounds: audio/audio_cnn.py
    CNN3D, CNNLSTM               classify clips: video/cnn3d.py, cnn_lstm.py

    load_trained, top_k, image_files   own images and queries: see README.md

Each folder offers its own: `from scratchmm.diffusion import cosine_schedule, ddim_sample`. The
command line: `python -m scratchmm --help`.
"""

from typing import Any

from scratchmm.lazily import find, homes_of

__version__ = "0.1.0"
_HOMES = homes_of(
    {
        "layers.attention": "attend MultiHeadAttention",
        "layers.transformer": "TransformerBlock",
        "vision.vit": "ViTConfig ViTClassifier",
        "vision.resnet": "ResNetConfig ResNetClassifier",
        "language.bpe": "BytePairEncoding",
        "language.bert": "BERTConfig BERT",
        "contrastive.clip": "CLIPConfig CLIP",
        "contrastive.loss": "contrastive_loss",
        "contrastive.retrieval": "top_k",
        "fusion.vilt": "ViLTConfig ViLT",
        "diffusion.unet": "UNetConfig UNet",
        "audio.audio_cnn": "AudioCNNConfig AudioCNN",
        "video.cnn3d": "CNN3DConfig CNN3D",
        "video.cnn_lstm": "CNNLSTMConfig CNNLSTM",
        "data.sets.any_images": "image_files images_of",
        "recipes.artifact": "load_trained",
    }
)
__all__ = [*_HOMES]


def __getattr__(name: str) -> Any:
    return find(__name__, _HOMES, name)


def __dir__() -> list[str]:
    return [*globals(), *_HOMES]
