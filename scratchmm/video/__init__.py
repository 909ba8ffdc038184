"""From clips to features: reading, writing, networks over frames."""

from typing import Any

from scratchmm.lazily import find, homes_of

_HOMES = homes_of(
    {
        "clips": "read_clip write_gif write_frames sample_frames",
        "cnn3d": "CNN3DConfig CNN3D",
        "cnn_lstm": "CNNLSTMConfig CNNLSTM",
    }
)
__all__ = [*_HOMES]


def __getattr__(name: str) -> Any:
    return find(__name__, _HOMES, name)


def __dir__() -> list[str]:
    return [*globals(), *_HOMES]
