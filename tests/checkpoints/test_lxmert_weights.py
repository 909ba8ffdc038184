"""The bimodal transformer against transformers' LXMERT: one layer, and the whole encoder."""

import pytest
import torch

from scratchmm.checkpoints.lxmert import load_lxmert
from scratchmm.fusion.bimodal import BimodalConfig, BimodalTransformer, TwoStreamLayer
from scratchmm.layers.attention import watch_attention

CONFIG = BimodalConfig(28, heads=4, hidden=37, words_depth=3, image_depth=2, depth=2)


def randomise(model):
    """Gains around 1: far below, norm after norm would make all tokens alike, and hide differences."""
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for name, tensor in [*model.named_parameters(), *model.named_buffers()]:
            if tensor.is_floating_point():
                tensor.copy_(torch.randn(tensor.shape, generator=generator) * 0.2)
                tensor += "norm" in name.lower() and name.endswith("weight")
    return model.double().eval()


def normal(*shape, seed=1):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed)).double()


def equal(ours, theirs):
    torch.testing.assert_close(ours, theirs, rtol=0, atol=1e-10)


@pytest.fixture(scope="module")
def config():
    transformers = pytest.importorskip("transformers")
    return transformers.LxmertConfig(
        vocab_size=99,
        hidden_size=28,
        num_attention_heads=4,
        intermediate_size=37,
        max_position_embeddings=13,
        l_layers=3,
        r_layers=2,
        x_layers=2,
        visual_feat_dim=11,
    )


def a_batch():
    words_real = torch.arange(5) < torch.tensor([[5], [3], [4]])
    image_real = torch.arange(7) < torch.tensor([[6], [7], [2]])
    return normal(3, 5, 28), normal(3, 7, 28, seed=2), words_real, image_real


def added(real):
    """transformers adds its masks to the scores."""
    return torch.zeros(real.shape).double().masked_fill(~real, -torch.inf)[:, None, None]


def same_gradients(model, reference, build, ours, theirs):
    upstreams = [normal(*our.shape, seed=3 + index) for index, our in enumerate(ours)]
    sum((our * upstream).sum() for our, upstream in zip(ours, upstreams)).backward()
    sum((their * upstream).sum() for their, upstream in zip(theirs, upstreams)).backward()
    # the gradients travel through the same table as the weights
    gradients = {name: p.grad for name, p in reference.named_parameters() if p.grad is not None}
    carrier = load_lxmert(build().double(), gradients)
    for (name, our), their in zip(model.named_parameters(), carrier.parameters(), strict=True):
        torch.testing.assert_close(our.grad, their.detach(), rtol=1e-9, atol=1e-10, msg=name)
        assert "key.bias" in name or our.grad.abs().max() > 1e-8, name


@pytest.mark.parametrize("masked", [False, True])
def test_one_layer_and_its_gradients(config, masked):
    from transformers.models.lxmert.modeling_lxmert import LxmertXLayer

    reference = randomise(LxmertXLayer(config))
    model = load_lxmert(TwoStreamLayer(28, 4, 37).double(), reference.state_dict())
    words, image, words_real, image_real = a_batch()
    masks = [real[:, None, None] for real in (words_real, image_real)] if masked else [None] * 2
    theirs = reference(
        words,
        added(words_real) if masked else None,
        image,
        added(image_real) if masked else None,
        output_attentions=True,
    )
    with watch_attention() as seen:
        ours = model(words, image, *masks)
    equal(ours.words, theirs[0])
    equal(ours.image, theirs[1])
    equal(seen[0], theirs[2])
    same_gradients(model, reference, lambda: TwoStreamLayer(28, 4, 37), ours, theirs[:2])


@pytest.fixture(scope="module")
def reference(config):
    import transformers

    return randomise(transformers.LxmertModel(config))


def run(reference, words_real, image_real):
    """All of LXMERT, and what its encoder was given."""
    tokens = torch.randint(1, 99, (3, 5), generator=torch.Generator().manual_seed(4))
    features, boxes = normal(3, 7, 11, seed=5), normal(3, 7, 4, seed=6)
    output = reference(
        input_ids=tokens,
        visual_feats=features,
        visual_pos=boxes,
        attention_mask=words_real.double(),
        visual_attention_mask=image_real.double(),
        token_type_ids=torch.zeros_like(tokens),
        output_hidden_states=True,
    )
    words = reference.embeddings(tokens, torch.zeros_like(tokens))
    return output, words, reference.encoder.visn_fc(features, boxes)


def test_the_whole_encoder_and_its_gradients(reference):
    _, _, words_real, image_real = a_batch()
    output, words, image = run(reference, words_real, image_real)
    model = load_lxmert(BimodalTransformer(CONFIG).double(), reference.state_dict())
    ours = model(words.detach(), image.detach(), words_real, image_real)
    theirs = (output.language_output, output.vision_output)
    for our, their in zip(ours, theirs):
        equal(our, their)
    reference.zero_grad()
    same_gradients(model, reference, lambda: BimodalTransformer(CONFIG), ours, theirs)


@pytest.mark.parametrize("kind", ["LxmertForQuestionAnswering", "LxmertForPreTraining"])
@pytest.mark.parametrize("suffix", [".bin", "folder"])
def test_saved_files_of_models_built_on_it(config, tmp_path, kind, suffix):
    import transformers

    whole = randomise(getattr(transformers, kind)(config))
    path = tmp_path
    if suffix == ".bin":
        path = tmp_path / "pytorch_model.bin"
        torch.save(whole.state_dict(), path)
    else:
        pytest.importorskip("safetensors")
        whole.save_pretrained(path)
    _, _, words_real, image_real = a_batch()
    output, words, image = run(whole.lxmert, words_real, image_real)
    model = load_lxmert(BimodalTransformer(CONFIG).double(), path)
    ours = model(words, image, words_real, image_real)
    equal(ours.words, output.language_output)
    equal(ours.image, output.vision_output)


def test_refusals_leave_the_model_alone(reference):
    state = dict(reference.state_dict())
    model = BimodalTransformer(CONFIG)
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    name = "encoder.x_layers.1.visn_inter.dense.weight"
    without = {other: tensor for other, tensor in state.items() if other != name}
    for wrong, sentence in [
        (without, f"does not fit BimodalTransformer: {name} is missing$"),
        (state | {name: torch.zeros(28, 37)}, rf"{name} is \(28, 37\) and should be \(37, 28\)$"),
        (state | {"encoder.layer.3.output.dense.bias": torch.zeros(28)}, "bias is surplus$"),
    ]:
        with pytest.raises(ValueError, match=sentence):
            load_lxmert(model, wrong)
    with pytest.raises(ValueError, match="of another model"):
        load_lxmert(TwoStreamLayer(28, 4, 37), state)
    torch.testing.assert_close(dict(model.state_dict()), before, rtol=0, atol=0)
