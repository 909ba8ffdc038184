"""scratchmm: multimodal AI written out by hand in plain PyTorch."""

__version__ = "0.1.0"
