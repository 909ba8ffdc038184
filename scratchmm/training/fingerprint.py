"""What tells one trained model from another: a model on top of it works with no other.

Differs from the paper: nothing (there is none).
"""

import hashlib

from torch import nn


def fingerprint(model: nn.Module) -> str:
    """Eight letters that are others as soon as one weight is.

    >>> layer = nn.Linear(2, 2)
    >>> before = fingerprint(layer)
    >>> nn.init.zeros_(layer.bias).shape, before == fingerprint(layer)
    (torch.Size([2]), False)
    """
    content = b"".join(value.cpu().numpy().tobytes() for value in model.state_dict().values())
    return hashlib.sha256(content).hexdigest()[:8]
