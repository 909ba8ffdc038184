"""The ResNet's own promises; equality with the published class is in tests/checkpoints."""

import pytest
import torch
from torch import nn

from scratchmm.layers.convolution import BottleneckBlock, ResidualBlock
from scratchmm.vision.resnet import (
    ResNet,
    ResNetClassifier,
    ResNetConfig,
    Stem,
    resnet_18,
    resnet_34,
    resnet_50,
    tiny,
)
from shape_comments import check_shape_comments

small = ResNetConfig(5, (8, 12), (1, 2), channels=2, classes=7)


def randomised(module):
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for name, tensor in module.state_dict().items():
            if name.endswith("running_var"):
                tensor.copy_(torch.rand(tensor.shape, generator=generator) + 0.2)
            elif tensor.is_floating_point():
                tensor.copy_(torch.randn(tensor.shape, generator=generator) * 0.5)
    return module.double().eval()


def some_images(*size):
    return torch.randn(3, 2, *size, generator=torch.Generator().manual_seed(1)).double()


@pytest.mark.parametrize(
    ("config", "parameters"),
    [(resnet_18(), 11_689_512), (resnet_34(), 21_797_672), (resnet_50(), 25_557_032)],
)
def test_published_sizes(config, parameters):
    with torch.device("meta"):
        model = ResNetClassifier(config)
    assert sum(p.numel() for p in model.parameters()) == parameters
    kinds = {type(m) for m in model.modules() if isinstance(m, ResidualBlock | BottleneckBlock)}
    assert kinds == {BottleneckBlock if config.bottleneck else ResidualBlock}


def test_tokens_are_the_grid_row_by_row_and_the_vector_is_its_mean():
    model, images = randomised(ResNet(small)), some_images(24, 40)
    grid = model(images)
    assert grid.shape == (3, 12, 3, 5) and small.shrink == 8
    rows = [grid[:, :, row, column] for row in range(3) for column in range(5)]
    torch.testing.assert_close(model.tokens(images), torch.stack(rows, dim=1))
    torch.testing.assert_close(model.vector(images), sum(rows) / 15)


def test_the_classifier_is_its_parts_in_order():
    model, images = randomised(ResNetClassifier(small)), some_images(24, 40)
    x = model.encoder.stem(images)
    for stage in model.encoder.stages:
        for block in stage:
            x = block(x)
    torch.testing.assert_close(model.encoder(images), x)
    torch.testing.assert_close(model(images), model.head(x.flatten(2).mean(-1)))
    assert model.config is small and [len(stage) for stage in model.encoder.stages] == [1, 2]


def test_the_stem_of_large_images_shrinks_by_four():
    stem, images = randomised(Stem(small)), some_images(17, 24)
    layer = stem.convolution
    assert layer.convolution.weight.shape == (5, 2, 7, 7) and layer.convolution.stride == (2, 2)
    x = layer(images).clamp(min=0)  # (3, 5, 9, 12)
    padded = nn.functional.pad(x, (1, 1, 1, 1), value=-1.0)
    windows = padded.unfold(2, 3, 2).unfold(3, 3, 2)
    torch.testing.assert_close(stem(images), windows.amax((-1, -2)))


def test_the_stem_of_small_images_keeps_their_size():
    config = ResNetConfig(5, (8, 12), (1, 1), small_images=True, channels=2)
    stem, images = randomised(Stem(config)), some_images(9, 12)
    assert stem.convolution.convolution.weight.shape == (5, 2, 3, 3)
    torch.testing.assert_close(stem(images), stem.convolution(images).clamp(min=0))
    assert config.shrink == 2
    assert ResNet(config)(some_images(9, 12).float()).shape == (3, 12, 5, 6)
    assert ResNet(tiny())(torch.zeros(1, 3, 32, 32)).shape == (1, 24, 8, 8)


def test_images_do_not_influence_each_other_in_use():
    model, images = randomised(ResNetClassifier(small)), some_images(24, 40)
    torch.testing.assert_close(model(images)[1:2], model(images[1:2]))


def test_a_image_moved_by_the_shrink_moves_the_grid_by_one():
    # Far from the border: what padding touches does change.
    model, images = randomised(ResNet(small)), some_images(160, 160)
    moved = images.roll((8, 16), dims=(2, 3))
    grid = model(images).roll((1, 2), dims=(2, 3))
    torch.testing.assert_close(model(moved)[:, :, 8:12, 8:12], grid[:, :, 8:12, 8:12])


def test_what_cannot_work_is_refused():
    with pytest.raises(ValueError, match="^2 widths and 3 depths do not make stages"):
        ResNetConfig(widths=(4, 8), depths=(1, 1, 1))
    with pytest.raises(ValueError, match="^the images have 3 channels, but this model takes 2$"):
        ResNet(small)(torch.zeros(1, 3, 32, 32))
    with pytest.raises(ValueError, match="^10 channels are not divisible by 4"):
        ResNet(ResNetConfig(widths=(10,), depths=(1,)))


def run_shapes() -> None:
    import torch

    from scratchmm.vision import resnet

    config = resnet.ResNetConfig(5, (8, 12), (1, 1), channels=2, classes=7)
    model, images = resnet.ResNetClassifier(config), torch.randn(3, 2, 24, 40)
    model.encoder.tokens(images)
    model(images)


def test_shape_comments_are_true() -> None:
    check_shape_comments(run_shapes, "vision/resnet.py")
