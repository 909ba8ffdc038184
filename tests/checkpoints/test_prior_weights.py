"""The unCLIP prior against diffusers' PriorTransformer: prediction, gradients, files, scale."""

import dataclasses
from functools import partial

import pytest
import torch
from torch import nn

from checkpoints.exact_clock import with_exact_clock
from scratchmm.checkpoints.prior import load_prior, prior_config_from
from scratchmm.diffusion.prior import Prior, PriorConfig
from scratchmm.diffusion.unet_blocks import timestep_embedding

AS_IT_IS = 1e-5
CONFIG = PriorConfig(embedding=22, text_width=22, context_length=7, width=28, depth=3, heads=4)


def randomise(model):
    """Every parameter: the query, the positions, the mean and the deviation are zeros at first."""
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.copy_(torch.randn(parameter.shape, generator=generator) * 0.2)
    return model.double().eval()


@pytest.fixture(scope="module")
def reference():
    diffusers = pytest.importorskip("diffusers")
    model = diffusers.PriorTransformer(
        num_attention_heads=4,
        attention_head_dim=7,
        num_layers=3,
        embedding_dim=22,
        num_embeddings=7,
    )
    model = randomise(model)
    # Its sinusoids are in float32 throughout, so at step 999 they are right to 4 digits only.
    model.as_it_is = model.time_proj
    return with_exact_clock(model)


@pytest.fixture
def model(reference):
    return load_prior(Prior(CONFIG).double(), reference.state_dict()).eval()


def normal(*shape, seed=1):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed)).double()


def conditions():
    timesteps = torch.tensor([0, 17, 999])
    real = torch.arange(7) < torch.tensor([[7], [4], [1]])
    return normal(3, 22), timesteps, normal(3, 22, seed=2), normal(3, 7, 22, seed=3), real


def equal(ours, theirs):
    torch.testing.assert_close(ours, theirs, rtol=0, atol=1e-10)


def test_the_timesteps_are_theirs(reference):
    embed = partial(timestep_embedding, flip_sin_to_cos=True, frequency_shift=0)
    steps = torch.arange(0, 1000, 37)
    torch.testing.assert_close(embed(steps, 28), reference.as_it_is(steps), rtol=0, atol=2e-4)
    exact = reference.time_proj(steps)
    ours = embed(steps, 28, dtype=torch.float64)
    torch.testing.assert_close(ours, exact, rtol=0, atol=1e-12)
    few = torch.tensor([0, 1, 2])
    torch.testing.assert_close(embed(few, 28), reference.as_it_is(few), rtol=0, atol=1e-6)


@pytest.mark.parametrize("padded", [True, False])
def test_prediction(reference, model, padded):
    *batch, real = conditions()
    if not padded:
        real = torch.ones_like(real)  # given none, theirs forgets the order too
    theirs = reference(*batch, attention_mask=real).predicted_image_embedding
    equal(model(*batch, real), theirs)
    if not padded:
        equal(model(*batch), theirs)


def test_the_published_class_as_it_is(reference, model):
    """Its timesteps are float32: that is all that is apart, and nothing at 0, which float32 has."""
    noisy, timesteps, *batch, real = conditions()
    exact, reference.time_proj = reference.time_proj, reference.as_it_is
    first = [noisy, torch.zeros_like(timesteps), *batch]
    equal(model(*first, real), reference(*first, attention_mask=real).predicted_image_embedding)
    batch = [noisy, timesteps, *batch]
    theirs = reference(*batch, attention_mask=real).predicted_image_embedding
    reference.time_proj = exact
    apart = (model(*batch, real) - theirs).abs().max()
    assert 0 < apart < AS_IT_IS, apart


def test_every_block(reference, model):
    """The states between blocks, of a text without padding."""
    *batch, real = conditions()
    seen, ours = [], []
    hooks = [
        block.register_forward_hook(lambda part, inputs, output: seen.append(output))
        for block in reference.transformer_blocks
    ]
    reference(*batch, attention_mask=torch.ones_like(real))
    [hook.remove() for hook in hooks]
    for block in model.transformer.blocks:
        block.register_forward_hook(lambda part, inputs, output: ours.append(output))
    model(*batch)
    assert len(ours) == 3
    for our, their in zip(ours, seen, strict=True):
        equal(our, their)


def test_gradients(reference, model):
    *batch, real = conditions()
    reference.zero_grad()
    upstream = normal(3, 22, seed=5)
    (model(*batch, real) * upstream).sum().backward()
    theirs = reference(*batch, attention_mask=real).predicted_image_embedding
    (theirs * upstream).sum().backward()
    grads = {name: p.grad for name, p in reference.named_parameters()}
    grads |= {"clip_mean": torch.zeros(1, 22), "clip_std": torch.zeros(1, 22)}  # no part of it
    carrier = load_prior(Prior(CONFIG).double(), grads)
    largest = max(grad.abs().max().item() for grad in grads.values())
    for (name, our), their in zip(model.named_parameters(), carrier.parameters(), strict=True):
        assert our.grad.abs().max() > 0, name
        torch.testing.assert_close(
            our.grad, their.detach(), rtol=1e-9, atol=1e-10 * max(1.0, largest), msg=name
        )


def test_restored_as_theirs(reference, model):
    drawn = normal(3, 22)
    equal(model.restore(drawn), reference.post_process_latents(drawn).detach())


@pytest.mark.parametrize("safe", [False, True])
def test_saved_folders(tmp_path, reference, safe):
    if safe:
        pytest.importorskip("safetensors.torch")
    reference.save_pretrained(tmp_path, safe_serialization=safe)
    *batch, real = conditions()
    model = load_prior(Prior(CONFIG).double(), tmp_path)
    equal(model(*batch, real), reference(*batch, attention_mask=real).predicted_image_embedding)


def test_the_config_from_shapes(reference):
    assert prior_config_from(reference.state_dict(), head_width=7) == CONFIG


def test_refusals_leave_the_model_alone(reference):
    state = dict(reference.state_dict())
    model = Prior(dataclasses.replace(CONFIG, context_length=8))
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    sentence = r"positional_embedding is \(1, 11, 28\) and should be \(1, 12, 28\)$"
    with pytest.raises(ValueError, match=sentence):
        load_prior(model, state)
    state.pop("prd_embedding")
    with pytest.raises(ValueError, match="Prior: prd_embedding is missing"):
        load_prior(model, state)
    torch.testing.assert_close(dict(model.state_dict()), before, rtol=0, atol=0)


def test_another_models_weights_are_refused():
    with pytest.raises(ValueError, match="is of another model: it has weight and 1 other tensors"):
        load_prior(Prior(CONFIG), nn.Linear(2, 3).state_dict())
    with pytest.raises(ValueError, match="no unCLIP prior by diffusers' names"):
        prior_config_from(nn.Linear(2, 3).state_dict())
