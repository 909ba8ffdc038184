"""Our LSTM beside nn.LSTM, and R3D beside the same network of torch's own layers.

nn.LSTM runs all frames in one call of a library, oneDNN or cuDNN; ours is a loop that one can read,
and pays for it: by itself it has no goal. Compiled it has one, and what it costs a model that uses it.
torchvision's r3d_18 would be R3D's published peer, but torchvision is no dependency of ours: the
peer is its layers in their order, on clips as torchvision lays them out in memory.
"""

import copy
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from scratchmm.bench.measure import Row, compare, same
from scratchmm.bench.sides import Side, forward_and_step, works
from scratchmm.layers.lstm import LSTM
from scratchmm.video.cnn3d import CNN3D, CNN3DConfig, r3d_18
from scratchmm.video.cnn_lstm import CNNLSTM, CNNLSTMConfig

LOOP_GOAL, GOAL = 1.15, 1.0  # of time: a CNN-LSTM with our loop in it; a 3D-CNN
# The loop alone: frame by frame it is what it is; torch.compile writes all frames as one program.
LSTM_GOALS: Mapping[str, float | None] = {"eager": None, "compiled": 1.5}
CPU_CLIPS, GPU_CLIPS = (32, 16, 3, 32, 32), (8, 16, 3, 112, 112)


def rows(
    device: str = "cpu",
    rounds: int = 7,
    config: CNN3DConfig | None = None,
    clips: tuple[int, ...] | None = None,
    sequences: tuple[int, int, int] = (32, 16, 64),
    goals: tuple[float, float] = (LOOP_GOAL, GOAL),
    lstm_goals: Mapping[str, float | None] = LSTM_GOALS,
) -> list[Row]:
    """Forward and training step of all three; R3D-18 on a GPU, a lesson's sizes on a CPU."""
    on_gpu = device.startswith("cuda")
    model = CNN3D(config or (r3d_18() if on_gpu else CNN3DConfig(64)))
    torch.manual_seed(0)
    given = torch.randn(clips or (GPU_CLIPS if on_gpu else CPU_CLIPS)).to(device)
    sizes = " x ".join(str(size) for size in given.shape)
    common: Any = {"device": device, "rounds": rounds}
    return [
        *lstm_rows(*sequences, goals=lstm_goals, **common),
        *forward_and_step(
            f"cnn-lstm, clips {sizes},",
            *with_either_lstm(CNNLSTM(CNNLSTMConfig(64)).to(device)),
            (given,),
            goals={"eager": goals[0]},
            **common,
        ),
        *forward_and_step(
            f"3d-cnn, clips {sizes},",
            Side("CNN3D", model.to(device)),
            Side("torch's layers", peer(model).to(device)),
            (given,),
            goals={"eager": goals[1]},
            **common,
        ),
    ]


def lstm_rows(
    batch: int,
    frames: int,
    width: int,
    device: str,
    rounds: int,
    goals: Mapping[str, float | None] = LSTM_GOALS,
) -> list[Row]:
    """The loop alone beside the library's call."""
    theirs = nn.LSTM(width, width, batch_first=True)
    ours = copy_weights(LSTM(width, width), theirs)
    x = torch.randn(batch, frames, width).to(device)
    two = works(Side("nn.LSTM", Outputs(theirs).to(device)), "eager", (x,))
    case, found = f"lstm of {width}, {batch} x {frames} frames,", []
    for kind, goal in goals.items():
        one = works(Side("LSTM", Outputs(ours).to(device)), kind, (x,))
        same(one.forward(), two.forward(), "the hidden states of both LSTMs")
        common: Any = {"device": device, "rounds": rounds, "goal": goal}
        for what, a, b in (
            ("forward", one.forward, two.forward),
            ("training step", one.step, two.step),
        ):
            found.append(compare(f"{case} {what}, {kind}", (one.name, a), (two.name, b), **common))
    return found


def with_either_lstm(model: CNNLSTM) -> tuple[Side, Side]:
    """A CNN-LSTM as it is, and a copy of it that reads by nn.LSTM with the same weights."""
    config, theirs = model.config, copy.deepcopy(model)
    library = nn.LSTM(config.features, config.width, config.layers, batch_first=True)
    library.to(next(model.parameters()).device)
    copy_weights(model.lstm, library)
    swapped: Any = theirs
    swapped.lstm = Masked(library)
    return Side("CNNLSTM", model), Side("the same with nn.LSTM", theirs)


class Masked(nn.Module):
    """nn.LSTM that may be called as ours is; here no frame is padding."""

    def __init__(self, model: nn.LSTM) -> None:
        super().__init__()
        self.model = model

    def forward(self, x: Tensor, real: Tensor) -> Any:
        """x: float (B, F, E); real: bool (B, F). Returns what nn.LSTM does."""
        return self.model(x)


class Outputs(nn.Module):
    """An LSTM without its last states: one tensor, as the comparison wants it."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, x: Tensor) -> Tensor:
        """x: float (B, F, E). Returns the hidden states (B, F, D)."""
        return self.model(x)[0]


def copy_weights(ours: LSTM, theirs: nn.LSTM) -> LSTM:
    """nn.LSTM's weights in ours: cell by cell both have the same four, in the same order of gates.

    >>> ours = copy_weights(LSTM(5, 3), theirs := nn.LSTM(5, 3, batch_first=True))
    >>> torch.equal(ours.cells[0].state.weight, theirs.weight_hh_l0)
    True
    """
    with torch.no_grad():
        for cell, (w_input, w_state, b_input, b_state) in zip(ours.cells, theirs.all_weights):
            own = dict(cell.named_parameters())
            own["input.weight"].copy_(w_input)
            own["state.weight"].copy_(w_state)
            own["input.bias"].copy_(b_input)
            own["state.bias"].copy_(b_state)
    return ours


class PeerBlock(nn.Module):
    """A residual block as torchvision writes it: two convolutions, two norms, a shortcut."""

    def __init__(self, channels: int, outputs: int, stride: int) -> None:
        super().__init__()
        self.way = nn.Sequential(
            *normed(channels, outputs, 3, stride), nn.ReLU(inplace=True), *normed(outputs, outputs)
        )
        changes = channels != outputs or stride > 1
        self.shortcut = nn.Sequential(*normed(channels, outputs, 1, stride) if changes else [])
        self.activation = nn.ReLU(inplace=True)

    def forward(self, x: Tensor) -> Tensor:
        """x: float (B, C, F, H, W). Returns (B, outputs, frames, height, width)."""
        return self.activation(self.way(x) + self.shortcut(x))


class PeerNetwork(nn.Module):
    """R3D on clips (B, F, C, H, W) in torchvision's layout, without a thought for memory's."""

    def __init__(self, layers: list[nn.Module], head: nn.Linear) -> None:
        super().__init__()
        self.layers, self.head = nn.Sequential(*layers), head

    def forward(self, clips: Tensor) -> Tensor:
        """clips: float (B, F, C, H, W). Returns logits (B, K)."""
        x = clips.transpose(1, 2).contiguous()
        return self.head(nn.functional.adaptive_avg_pool3d(self.layers(x), 1).flatten(1))


def normed(channels: int, outputs: int, kernel: int = 3, stride: int = 1) -> list[nn.Module]:
    """A convolution and its norm, of torch."""
    convolution = nn.Conv3d(channels, outputs, kernel, stride, kernel // 2, bias=False)
    return [convolution, nn.BatchNorm3d(outputs)]


def peer(model: CNN3D) -> PeerNetwork:
    """Torch's layers with the weights of a residual CNN3D: they come in the same order."""
    config = model.config
    stem = nn.Conv3d(config.image_channels, config.channels[0], (3, 7, 7), (1, 2, 2), (1, 3, 3),
                     bias=False)  # fmt: skip
    layers: list[nn.Module] = [stem, nn.BatchNorm3d(config.channels[0]), nn.ReLU(inplace=True)]
    channels = config.channels[0]
    for index, (outputs, depth) in enumerate(zip(config.channels, config.depths)):
        for number in range(depth):
            layers.append(PeerBlock(channels, outputs, 2 if index and not number else 1))
            channels = outputs
    theirs = PeerNetwork(layers, nn.Linear(channels, config.classes))
    names, weights = theirs.state_dict(), model.state_dict().values()
    theirs.load_state_dict(dict(zip(names, weights, strict=True)))
    return theirs
