"""One attention serves them all: Llama, Whisper, T5 and SpeechT5 under copied weights, in float64."""

import math

import pytest
import torch
from torch import nn

from scratchmm.layers.attention import (
    KeyValueCache,
    MultiHeadAttention,
    causal_mask,
    padding_mask,
    split_heads,
)
from scratchmm.layers.rotary import RotaryPositions
from scratchmm.layers.transformer import SwiGLU

transformers = pytest.importorskip("transformers")


def random(*shape, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(shape, generator=generator, dtype=torch.float64)


def randomised(module):
    torch.manual_seed(0)
    for parameter in module.parameters():
        nn.init.normal_(parameter, std=0.4)
    return module.double().eval()


def copied(ours, theirs, names):
    for our, their in zip(("query", "key", "value", "output"), names.split(), strict=True):
        ours.get_submodule(our).load_state_dict(theirs.get_submodule(their).state_dict())
    return ours.double()


def to_add(mask):
    """Theirs: numbers that are added to the scores."""
    return torch.zeros(mask.shape, dtype=torch.float64).masked_fill(~mask, -math.inf)


def equal(ours, theirs):
    torch.testing.assert_close(ours, theirs, rtol=0, atol=1e-12)


@pytest.fixture
def llama():
    """8 heads that share 2 of keys, and rotary positions. Eager weights would be float32."""
    from transformers.models.llama import modeling_llama as published

    config = transformers.LlamaConfig(
        hidden_size=32, num_attention_heads=8, num_key_value_heads=2, attn_implementation="sdpa"
    )
    theirs = randomised(published.LlamaAttention(config, 0))
    ours = MultiHeadAttention(32, heads=8, bias=False, key_heads=2)
    copied(ours, theirs, "q_proj k_proj v_proj o_proj")

    def run(x, mask, positions):
        table = published.LlamaRotaryEmbedding(config)(x, positions)
        return theirs(x, position_embeddings=table, attention_mask=mask)[0]

    return ours, run


def test_llama(llama):
    ours, theirs = llama
    x = random(2, 7, 32)
    real = torch.tensor([[1] * 7, [0, 0, 1, 1, 1, 1, 1]]).bool()
    mask = causal_mask(7) & padding_mask(real) | torch.eye(7).bool()  # theirs has no blind queries
    positions = (real.cumsum(-1) - 1).clamp(min=0)
    turn = RotaryPositions(positions, 4, computed_in=torch.float32)
    equal(ours(x, mask=mask, turn=turn), theirs(x, mask, positions))


def test_llama_token_by_token(llama):
    ours, theirs = llama
    x, cache, pieces = random(2, 7, 32), KeyValueCache(), []
    for place, token in enumerate(x.split(1, dim=1)):
        turn = RotaryPositions(torch.tensor([place]), 4, computed_in=torch.float32)
        pieces.append(ours(token, cache=cache, turn=turn))
    expected = theirs(x, causal_mask(7).expand(2, 1, 7, 7), torch.arange(7)[None])
    equal(torch.cat(pieces, dim=1), expected)


def test_llamas_feed_forward():
    from transformers.models.llama.modeling_llama import LlamaMLP

    theirs = randomised(
        LlamaMLP(
            transformers.LlamaConfig(hidden_size=6, num_attention_heads=2, intermediate_size=11)
        )
    )
    ours = SwiGLU(6, 11).double()
    for our, their in (("gate", "gate_proj"), ("expand", "up_proj"), ("contract", "down_proj")):
        ours.get_submodule(our).load_state_dict(theirs.get_submodule(their).state_dict())
    x = random(2, 5, 6)
    equal(ours(x), theirs(x))


@pytest.mark.parametrize("implementation", ["eager", "sdpa"])
def test_whisper(implementation):
    from transformers.models.whisper.modeling_whisper import WhisperAttention

    config = transformers.WhisperConfig(attn_implementation=implementation)
    theirs = randomised(WhisperAttention(24, 4, config=config))
    ours = MultiHeadAttention(24, heads=4, bias=("query", "value", "output"))
    copied(ours, theirs, "q_proj k_proj v_proj out_proj")
    x, sound = random(2, 5, 24), random(2, 9, 24, seed=1)
    equal(ours(x), theirs(x)[0])
    mask = causal_mask(5)
    equal(ours(x, mask=mask), theirs(x, attention_mask=to_add(mask).expand(2, 1, 5, 5))[0])
    expected = theirs(x, key_value_states=sound)[0]
    equal(ours(x, sound), expected)
    cache = KeyValueCache()
    pieces = [ours(token, sound, kept=cache.context) for token in x.split(1, dim=1)]
    equal(torch.cat(pieces, dim=1), expected)


def unscaled(query, key):
    """T5 divides no scores; attention does, so its queries are made larger first."""
    return query * math.sqrt(query.shape[-1]), key


@pytest.mark.parametrize("decoder", [False, True])
def test_t5_with_a_learned_bias_of_distances(decoder):
    from transformers.models.t5.modeling_t5 import T5Attention

    config = transformers.T5Config(
        d_model=24, d_kv=6, num_heads=4, relative_attention_num_buckets=8, is_decoder=decoder,
        relative_attention_max_distance=20, attn_implementation="sdpa",
    )  # fmt: skip
    theirs = randomised(T5Attention(config, has_relative_attention_bias=True, layer_idx=0))
    ours = copied(MultiHeadAttention(24, heads=4, bias=False), theirs, "q k v o")
    x, mask = random(2, 9, 24), causal_mask(9)
    bias = theirs.compute_bias(9, 9)
    expected = theirs(x, mask=to_add(mask).expand(2, 1, 9, 9))[0]
    output = ours(x, mask=mask, bias=bias, turn=unscaled)
    equal(output, expected)
    table, upstream = theirs.relative_attention_bias.weight, random(2, 9, 24, seed=1)
    slopes = [torch.autograd.grad(o, table, upstream)[0] for o in (output, expected)]
    assert slopes[1].abs().max() > 0.1
    equal(*slopes)
    # While text is written, each token has its row of the bias.
    cache, pieces = KeyValueCache(), []
    for place, token in enumerate(x.split(1, dim=1)):
        row = bias[:, :, place : place + 1, : place + 1]
        pieces.append(ours(token, cache=cache, bias=row, turn=unscaled))
    equal(torch.cat(pieces, dim=1), expected)


def test_speecht5_with_a_bias_that_the_query_chooses():
    from transformers.models.speecht5 import modeling_speecht5 as published

    theirs = randomised(published.SpeechT5Attention(24, 4))
    ours = copied(MultiHeadAttention(24, heads=4), theirs, "q_proj k_proj v_proj out_proj")
    distances = randomised(published.SpeechT5RelativePositionalEncoding(6, 3))
    x = random(2, 9, 24)
    table = distances(x)  # (L, S, D // H)
    real = torch.arange(9) < torch.tensor([[9], [5]])
    mask = padding_mask(real).expand(2, 1, 9, 9)
    expected = theirs(x, attention_mask=to_add(mask), position_bias=table)[0]
    query = split_heads(ours.query(x), 4) / math.sqrt(6)
    bias = torch.einsum("bhld,lsd->bhls", query, table)
    equal(ours(x, mask=mask, bias=bias), expected)
