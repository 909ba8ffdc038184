"""Programs over models: compiled, exported for any batch, sample by sample, without numbers.

Every model runs as one graph, whose batch may be of any size, under vmap with a gradient for each
sample, and on the meta device. So no model looks at numbers in a forward pass but to refuse them.
"""

import pytest
import torch
from torch import nn

from scratchmm.audio import audio_cnn
from scratchmm.contrastive import clip
from scratchmm.diffusion import controlnet, prior, unclip_decoder, unet, vae
from scratchmm.fusion import bimodal, vilt, vqa
from scratchmm.fusion import multimodal_transformer as multimodal
from scratchmm.fusion.late import LateFusion
from scratchmm.fusion.modality_attention import AttentionFusion
from scratchmm.fusion.multimodal_transformer import MultimodalTransformer
from scratchmm.language import bert, text_transformer
from scratchmm.layers.lstm import LSTM
from scratchmm.video import cnn3d, cnn_lstm
from scratchmm.vision import resnet, vit

WIDTHS = {"image": 4, "words": 3}


class Of(nn.Module):
    """What a function says of a model, so that inputs may be given by position."""

    def __init__(self, model, function):
        super().__init__()
        self.model, self.function = model, function

    def forward(self, *inputs):
        return self.function(self.model, *inputs)


def numbers(*shape):
    return torch.randn(shape, generator=torch.Generator().manual_seed(1))


def tokens(batch, length=4):
    drawn = torch.randint(1, 90, (batch, length), generator=torch.Generator().manual_seed(2))
    drawn[:, -1] = text_transformer.tiny().end_token
    return drawn


def real(batch, length):
    """The first sample whole, the second of one token, and so on."""
    return torch.arange(length) < torch.tensor([length, 1, 2] * batch)[:batch, None]


def corner(batch, size):
    mask = torch.zeros(batch, size, size, dtype=torch.bool)
    mask[0] = mask[1:, : size // 2, : size // 4] = True
    return mask


def times(batch):
    return torch.tensor([999, 0, 17, 500, 3, 77, 8])[:batch]


def fused(model, image, words, present=None):
    masks = None if present is None else {"words": present}
    return model({"image": image, "words": words}, masks)


def steered(model, x, t, words, hint):
    control = model(x, t, words, hint=hint)
    return (*control.skips, control.middle)


MODELS = {
    "ViT": (lambda: vit.ViTClassifier(vit.tiny()), lambda b: (numbers(b, 3, 32, 32),)),
    "ViT, another size": (
        lambda: vit.ViTClassifier(vit.tiny()),
        lambda b: (numbers(b, 3, 16, 40),),
    ),
    "CLIP": (
        lambda: Of(clip.CLIP(clip.tiny()), lambda m, x, t: (m.encode_image(x), m.encode_text(t))),
        lambda b: (numbers(b, 3, 32, 32), tokens(b)),
    ),
    "TextTransformer": (
        lambda: text_transformer.TextTransformer(text_transformer.tiny()),
        lambda b: (tokens(b),),
    ),
    "BERT": (lambda: bert.BERT(bert.tiny()), lambda b: (tokens(b), real(b, 4))),
    "BERT, words": (lambda: bert.BERTForMaskedLM(bert.tiny()), lambda b: (tokens(b),)),
    "ResNet": (lambda: resnet.ResNetClassifier(resnet.tiny()), lambda b: (numbers(b, 3, 32, 32),)),
    "ViLT": (lambda: vilt.ViLT(vilt.tiny()), lambda b: (tokens(b), numbers(b, 3, 32, 32))),
    "ViLT, padded": (
        lambda: vilt.ViLT(vilt.tiny()),
        lambda b: (tokens(b), numbers(b, 3, 32, 32), real(b, 4), corner(b, 32)),
    ),
    "ViLT, answers": (
        lambda: vilt.ViLTForVQA(vilt.ViLT(vilt.tiny()), 7),
        lambda b: (tokens(b), numbers(b, 3, 32, 32)),
    ),
    "Bimodal": (
        lambda: bimodal.BimodalTransformer(bimodal.tiny()),
        lambda b: (numbers(b, 3, 32), numbers(b, 5, 32), real(b, 3), real(b, 5)),
    ),
    "VQA": (
        lambda: Of(
            vqa.VQA(vit.VisionTransformer(vit.tiny()), vqa.tiny()), lambda m, *x: m(*x).logits
        ),
        lambda b: (numbers(b, 3, 32, 32), tokens(b, 3).clamp(max=7), real(b, 3)),
    ),
    "UNet": (lambda: unet.UNet(unet.tiny()), lambda b: (numbers(b, 3, 8, 12), times(b))),
    "UNet, with a context": (
        lambda: unet.UNet(unet.tiny_with_context()),
        lambda b: (numbers(b, 3, 8, 12), times(b), numbers(b, 5, 10), real(b, 5)),
    ),
    "ControlNet": (
        lambda: Of(controlnet.ControlNet(controlnet.tiny()), steered),
        lambda b: (numbers(b, 3, 8, 12), times(b), numbers(b, 5, 10), numbers(b, 3, 8, 12)),
    ),
    "Prior": (
        lambda: prior.Prior(prior.tiny()),
        lambda b: (numbers(b, 24), times(b), numbers(b, 24), numbers(b, 5, 20), real(b, 5)),
    ),
    "unCLIP": (
        lambda: unclip_decoder.Decoder(unclip_decoder.tiny()),
        lambda b: (numbers(b, 3, 16, 16), times(b), numbers(b, 24)),
    ),
    "VAE": (
        lambda: Of(vae.VAE(vae.tiny()), lambda m, x: m.to_images(m.encode(x).mean)),
        lambda b: (numbers(b, 3, 8, 12),),
    ),
    "CNN3D": (lambda: cnn3d.CNN3D(cnn3d.tiny()), lambda b: (numbers(b, 4, 3, 16, 12),)),
    "CNNLSTM": (lambda: cnn_lstm.CNNLSTM(cnn_lstm.tiny()), lambda b: (numbers(b, 4, 3, 16, 24),)),
    "CNNLSTM, padded": (
        lambda: cnn_lstm.CNNLSTM(cnn_lstm.tiny()),
        lambda b: (numbers(b, 4, 3, 16, 24), real(b, 4)),
    ),
    "LSTM": (
        lambda: Of(LSTM(5, 3, both=True), lambda m, *x: m(*x)[0]),
        lambda b: (numbers(b, 4, 5),),
    ),
    "AudioCNN": (
        lambda: audio_cnn.AudioCNN(audio_cnn.tiny()),
        lambda b: (numbers(b, audio_cnn.tiny().mels, 24), real(b, 24)),
    ),
    "late fusion": (
        lambda: Of(LateFusion(WIDTHS, 2, 5), fused),
        lambda b: (numbers(b, 4), numbers(b, 3), real(b, 2)[:, 1]),
    ),
    "attention fusion": (
        lambda: Of(AttentionFusion(WIDTHS, 2, 8, heads=2, hidden=9), fused),
        lambda b: (numbers(b, 4), numbers(b, 3), real(b, 2)[:, 1]),
    ),
    "multimodal": (
        lambda: Of(
            MultimodalTransformer(WIDTHS, multimodal.tiny(), 2),
            lambda m, a, b: m({"image": a, "words": b}),
        ),
        lambda b: (numbers(b, 5, 4), numbers(b, 4, 3)),
    ),
}
ALL = pytest.mark.parametrize("name", MODELS)


def made(name):
    """The model with random weights (a UNet predicts zero at first) in evaluation, and its inputs."""
    build, inputs = MODELS[name]
    torch.manual_seed(0)
    model = build().eval()
    with torch.no_grad():
        for parameter in model.parameters():
            if not parameter.any():
                nn.init.normal_(parameter, std=0.1)
    return model, inputs


def outputs(said):
    return [said] if isinstance(said, torch.Tensor) else list(said)


def close(ours, theirs):
    """The same numbers; eager ViLT leaves out padding at the end that nobody fills."""
    for one, other in zip(outputs(ours), outputs(theirs), strict=True):
        torch.testing.assert_close(
            one[:, : other.shape[1]] if one.ndim > 2 else one, other, rtol=1e-4, atol=2e-5
        )


@ALL
def test_compiled_as_one_graph(name):
    model, inputs = made(name)
    torch._dynamo.reset()
    whole = torch.compile(model, fullgraph=True, backend="eager")
    for batch in (3, 2):
        close(whole(*inputs(batch)), model(*inputs(batch)))
    total = sum(one.square().sum() for one in outputs(whole(*inputs(2))))
    parameters = [p for p in model.parameters() if p.requires_grad]
    gradients = torch.autograd.grad(total, parameters, allow_unused=True)
    assert all(g is None or g.isfinite().all() for g in gradients)
    assert sum(g is not None for g in gradients) > len(parameters) // 2


@ALL
def test_exported_for_a_batch_of_any_size(name):
    model, inputs = made(name)
    batch = torch.export.Dim("batch", min=2, max=64)
    given = inputs(4)
    if isinstance(model, Of):
        shapes = (tuple({0: batch} for _ in given),)
    else:
        shapes = tuple({0: batch} for _ in given)
    program = torch.export.export(model, given, dynamic_shapes=shapes, strict=False).module()
    for count in (4, 7, 2):
        close(program(*inputs(count)), model(*inputs(count)))


@ALL
def test_a_gradient_for_each_sample(name):
    model, inputs = made(name)
    parameters = {n: p.detach() for n, p in model.named_parameters()}
    buffers = dict(model.named_buffers())

    def loss(parameters, *sample):
        given = tuple(one[None] for one in sample)
        said = torch.func.functional_call(model, (parameters, buffers), given)
        return sum(one.square().sum() for one in outputs(said))

    given = inputs(3)
    axes = (None, *(0 for _ in given))
    each = torch.func.vmap(torch.func.grad(loss), in_dims=axes)(parameters, *given)
    for row in range(2):
        alone = torch.func.grad(loss)(parameters, *(one[row] for one in given))
        for part in parameters:
            size = alone[part].abs().max().clamp(min=1.0)
            assert (each[part][row] - alone[part]).abs().max() < 1e-3 * size, part


@ALL
def test_on_the_meta_device(name):
    model, inputs = made(name)
    expected = [one.shape for one in outputs(model(*inputs(2)))]
    given = [one.to("meta") for one in inputs(2)]
    found = [one.shape for one in outputs(model.to("meta")(*given))]
    assert all(one.device.type == "meta" for one in outputs(model(*given)))
    assert found == expected
