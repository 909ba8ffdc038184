"""The 3D-CNN against plain torch stacks of the same weights, and its parts against loops."""

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from scratchmm.video.cnn3d import (
    CNN3D,
    CNN3DConfig,
    channels_first,
    conv3d,
    r3d_18,
    temporal_receptive_field,
    tiny,
)
from shape_comments import check_shape_comments

PLAIN = CNN3DConfig(5, (8, 12), (2, 1), residual=False)
RESIDUAL = CNN3DConfig(5, (8, 12), (2, 1))


def randomised(module):
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for name, tensor in module.state_dict().items():
            if name.endswith("running_var"):
                tensor.copy_(torch.rand(tensor.shape, generator=generator) + 0.5)
            elif tensor.is_floating_point():
                tensor.copy_(torch.randn(tensor.shape, generator=generator) * 0.3)
    return module.double().eval()


def conv(a, b, kernel=3, stride=1):
    padding = tuple(k // 2 for k in (kernel if isinstance(kernel, tuple) else (kernel,) * 3))
    return [nn.Conv3d(a, b, kernel, stride, padding, bias=False), nn.BatchNorm3d(b)]


class TorchBlock(nn.Module):
    """A residual block of torch's own layers, made in the order in which ours has its weights."""

    def __init__(self, a, b, stride):
        super().__init__()
        self.way = nn.Sequential(*conv(a, b, stride=stride), nn.ReLU(), *conv(b, b))
        self.side = nn.Sequential(*(conv(a, b, 1, stride) if a != b or stride > 1 else []))

    def forward(self, x):
        return F.relu(self.way(x) + self.side(x))


def torch_stack(config):
    """The same network said in torch's own layers, up to the grid; copied by order of weights."""
    relu, pool = nn.ReLU(), nn.MaxPool3d(2, ceil_mode=True)
    if config is PLAIN:
        layers = [*conv(3, 8), relu, *conv(8, 8), relu, nn.MaxPool3d((1, 2, 2), ceil_mode=True)]
        return nn.Sequential(*layers, *conv(8, 12), relu, pool)
    stem = [*conv(3, 8, (3, 7, 7), (1, 2, 2)), relu]
    return nn.Sequential(*stem, TorchBlock(8, 8, 1), TorchBlock(8, 8, 1), TorchBlock(8, 12, 2))


@pytest.mark.parametrize("train", [False, True])
@pytest.mark.parametrize("config", [PLAIN, RESIDUAL], ids=["plain", "residual"])
def test_it_is_the_stack_of_torchs_layers(config, train):
    model, peer = randomised(CNN3D(config)).train(train), torch_stack(config).double().train(train)
    ours = [tensor for name, tensor in model.stages.state_dict().items()]
    theirs = peer.state_dict()
    peer.load_state_dict(dict(zip(theirs, ours, strict=True)))
    torch.manual_seed(0)
    clips = torch.randn(2, 5, 3, 14, 9).double().requires_grad_()
    features = peer(torch.einsum("bfchw->bcfhw", clips))
    wanted = features.flatten(2).mean(-1) @ model.head.weight.T + model.head.bias
    got = model(clips)
    torch.testing.assert_close(got, wanted, rtol=0, atol=1e-10)
    weights = torch.randn_like(got)
    gradients = [torch.autograd.grad(out, clips, weights)[0] for out in (got, wanted)]
    torch.testing.assert_close(*gradients, rtol=0, atol=1e-10)
    assert gradients[0].abs().max() > 1e-4


def test_r3d_18_has_as_many_parameters_as_published():
    with torch.device("meta"):
        assert sum(p.numel() for p in CNN3D(r3d_18()).parameters()) == 33_371_472


@pytest.mark.parametrize("config", [PLAIN, RESIDUAL], ids=["plain", "residual"])
def test_the_order_of_frames_matters(config):
    model = randomised(CNN3D(config))
    clips = torch.randn(2, 6, 3, 12, 14).double()
    assert (model(clips.flip(1)) - model(clips)).abs().max() > 1e-3
    assert (model(clips[:, [3, 0, 4, 1, 5, 2]]) - model(clips)).abs().max() > 1e-3


@settings(deadline=None, max_examples=25)
@given(st.integers(1, 7), st.integers(1, 9), st.integers(1, 9), st.booleans())
def test_any_number_of_frames_any_height_any_width(frames, height, width, residual):
    model = CNN3D(CNN3DConfig(5, (8, 12, 16), residual=residual)).eval()
    clips = torch.randn(2, frames, 3, height, width)
    out = model(clips)
    assert out.shape == (2, 5) and out.isfinite().all()
    torch.testing.assert_close(model(clips[1:]), out[1:])  # the batch's other clip plays no part


@pytest.mark.parametrize("residual", [False, True])
@pytest.mark.parametrize("depths", [(1,), (1, 2), (2, 1, 1)])
def test_the_receptive_field_is_what_gradients_reach(residual, depths):
    config = CNN3DConfig(5, (4, 6, 8)[: len(depths)], depths, residual)
    model = CNN3D(config).double().eval()
    for module in model.modules():  # so that nothing cancels and no ReLU is shut
        if isinstance(module, nn.Conv3d):
            nn.init.constant_(module.weight, 0.1)
    steps = config.steps_in_time
    field = temporal_receptive_field(steps)
    clips = torch.rand(1, 4 * field, 3, 4, 4).double().requires_grad_()
    # With a maximum only one of two frames counts: every frame is tried, not only its gradient.
    grid = model.grid(clips)
    place = grid.shape[2] // 2
    reached = set()
    for frame in range(clips.shape[1]):
        other = clips.detach().clone()
        other[0, frame] += 100
        if not torch.equal(model.grid(other)[:, :, place], grid[:, :, place]):
            reached.add(frame)
    assert max(reached) - min(reached) + 1 == len(reached) == field


def test_receptive_fields_by_hand():
    assert temporal_receptive_field([]) == 1
    assert temporal_receptive_field([(1, 1), (5, 1)]) == 5
    assert temporal_receptive_field([(3, 2), (3, 2), (3, 1)]) == 3 + 2 * 2 + 2 * 4
    assert temporal_receptive_field([(1, 4), (2, 1)]) == 5  # two frames, four apart
    assert CNN3DConfig(5).steps_in_time == [(3, 1), (3, 1), (3, 1), (3, 2), (3, 1), (3, 2), (3, 1)]


def test_axes_change_places_and_numbers_stay_together():
    clips = torch.randn(2, 5, 3, 7, 4)
    out = channels_first(clips)
    assert out.shape == (2, 3, 5, 7, 4)
    assert all(torch.equal(out[:, c, f], clips[:, f, c]) for c in range(3) for f in range(5))


@pytest.mark.parametrize("kernel", [(3, 3, 3), (1, 3, 5), (5, 1, 3), (7, 3, 1)])
@pytest.mark.parametrize("biased", [False, True])
def test_a_convolution_over_time_is_flat_ones_added(kernel, biased):
    torch.manual_seed(0)
    x, weight = torch.randn(2, 3, 4, 7, 6).double(), torch.randn(5, 3, *kernel).double()
    bias = torch.randn(5).double() if biased else None
    wanted = F.conv3d(x, weight, bias, padding=tuple(k // 2 for k in kernel))
    torch.testing.assert_close(conv3d(x, weight, bias), wanted, rtol=0, atol=1e-10)


def test_gradients_of_the_written_out_convolution():
    inputs = [torch.randn(s).double().requires_grad_() for s in ((1, 2, 3, 2, 3), (2, 2, 3, 1, 3))]
    assert torch.autograd.gradcheck(conv3d, (*inputs, torch.randn(2).double().requires_grad_()))


def test_what_cannot_work_is_refused():
    model = CNN3D(tiny())
    with pytest.raises(ValueError, match="^the frames have 1 channels, but this model takes 3$"):
        model(torch.zeros(2, 4, 1, 8, 8))
    with pytest.raises(ValueError, match=r"^4 axes are not \(batch, frames, channels, height"):
        model(torch.zeros(4, 3, 8, 8))
    with pytest.raises(ValueError, match="^a clip of 0 frames has nothing to see$"):
        model(torch.zeros(2, 0, 3, 8, 8))


# bfloat16, whose gradient over two frames torch gets wrong on some CPUs


def gradients(model, clips, cast):
    """The gradients of a loss, after memory that was full of NaN has been given back."""
    junk = [torch.full((n,), torch.nan) for n in (64, 300, 1000, 3888, 5000) for _ in range(30)]
    del junk
    model.zero_grad()
    with torch.autocast("cpu", dtype=torch.bfloat16, enabled=cast):
        loss = model(clips).square().sum()
    loss.backward()
    return {name: p.grad.clone() for name, p in model.named_parameters()}


@pytest.mark.parametrize("frames", [1, 2, 3, 4])  # a stage of which has 2, or 1
@pytest.mark.parametrize("residual", [False, True])
def test_gradients_under_bfloat16_are_those_of_float32(frames, residual):
    for seed in range(3):
        torch.manual_seed(seed)
        model = CNN3D(CNN3DConfig(5, (8, 16), (1, 1), residual)).eval()
        clips = torch.randn(3, frames, 3, 16, 12)
        exact = gradients(model, clips, cast=False)
        for name, half in gradients(model, clips, cast=True).items():
            most = exact[name].abs().max()
            assert (half - exact[name]).abs().max() < 0.05 * most, (name, seed)


@pytest.mark.parametrize("residual", [False, True])
def test_no_convolution_over_time_runs_in_bfloat16(residual, monkeypatch):
    """On any CPU: what each convolution says is float32 before it is rounded, if it is."""
    said, real = [], nn.Conv3d._conv_forward

    def listened(layer, x, weight, bias):
        answer = real(layer, x, weight, bias)
        said.append(answer.dtype)
        return answer

    monkeypatch.setattr(nn.Conv3d, "_conv_forward", listened)
    model, clips = CNN3D(CNN3DConfig(5, (8, 16), (1, 1), residual)), torch.randn(2, 2, 3, 16, 12)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert model(clips).isfinite().all()
    assert len(said) == (2 if not residual else 6) and set(said) == {torch.float32}
    said.clear()
    out = model.bfloat16()(clips.bfloat16())
    assert out.dtype == torch.bfloat16 and set(said) == {torch.float32}


def test_a_model_of_bfloat16_is_trained_in_it():
    torch.manual_seed(0)
    model = CNN3D(CNN3DConfig(5, (8, 16), (1, 1))).eval()
    clips = torch.randn(3, 2, 3, 16, 12)
    exact = gradients(model, clips, cast=False)
    half = gradients(model.bfloat16(), clips.bfloat16(), cast=False)
    for name, found in half.items():
        assert found.dtype == torch.bfloat16 and found.isfinite().all()
        assert (found - exact[name]).norm() < 0.1 * exact[name].norm(), name


def run_shapes() -> None:
    import torch

    from scratchmm.video import cnn3d

    clips = torch.randn(2, 6, 3, 32, 24)
    for residual in (False, True):
        cnn3d.CNN3D(cnn3d.CNN3DConfig(7, (8, 12), (1, 2), residual))(clips)
    cnn3d.conv3d(torch.randn(2, 3, 6, 9, 7), torch.randn(4, 3, 5, 3, 1), torch.randn(4))


def test_shape_comments_are_true() -> None:
    check_shape_comments(run_shapes, "video/cnn3d.py")
