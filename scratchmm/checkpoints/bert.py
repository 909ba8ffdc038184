"""BERT's published weights, by transformers' names.

The first files call a layer norm's numbers `gamma` and `beta`, as TensorFlow did; newer ones
`weight` and `bias`. Files of BertForPreTraining and BertForMaskedLM carry the prefix `bert.`,
those of BertModel none. All are read.

Paper: BERT (arXiv 1810.04805).
Differs from the paper: its classifier of next sentences is left out knowingly.
"""

from collections.abc import Mapping

from torch import Tensor

from scratchmm.checkpoints.files import (
    Place,
    Source,
    check_tied,
    fill,
    heads_of,
    is_no,
    label_of,
    layer,
    read_state,
    shape_of,
)
from scratchmm.checkpoints.published_config import (
    Settings,
    assume_heads,
    check_depth,
    check_model,
    heads_of_width,
    read_config,
    settle,
)
from scratchmm.language.bert import BERT, BERTConfig, BERTEncoder, BERTForMaskedLM

POOLER = ("pooler.dense.weight", "pooler.dense.bias")
HEAD = "cls.predictions."
# The decoder is the table of embeddings, and its bias the head's; files may hold both twice.
NEXT_SENTENCE = ("cls.seq_relationship.weight", "cls.seq_relationship.bias")
BLOCK = {
    "attention.self.query": "attention.query",
    "attention.self.key": "attention.key",
    "attention.self.value": "attention.value",
    "attention.output.dense": "attention.output",
    "attention.output.LayerNorm": "attention_norm",
    "intermediate.dense": "feed_forward.expand",
    "output.dense": "feed_forward.contract",
    "output.LayerNorm": "feed_forward_norm",
}

OBEYED = {"num_attention_heads": 12, "hidden_act": "gelu", "layer_norm_eps": 1e-12}
# RoBERTa and its relatives have the same names, but count positions from 2.
FIXED = {
    "model_type": ("bert",),
    "position_embedding_type": ("absolute",),
    "is_decoder": (False,),
    "add_cross_attention": (False,),
}
HEADS = {312: 12, 384: 12, 768: 12, 1024: 16}  # of TinyBERT, MiniLM, BERT-base and -large


def load_bert(
    model: BERTEncoder | BERT | BERTForMaskedLM, source: Source
) -> BERTEncoder | BERT | BERTForMaskedLM:
    """Fill `model` with a published BERT and return it.

    A BERTForMaskedLM takes a BertForMaskedLM or BertForPreTraining; a BERTEncoder takes any model
    built on a BertModel (its head is left out), and a BERT any with a pooler. Raises ValueError
    that lists every tensor that is missing, surplus or of another shape, and where the model was
    made otherwise than the config.json beside the weights says; bare weights are taken to be of the
    model's own config.
    """
    state = plain_names(read_state(source))
    masked = isinstance(model, BERTForMaskedLM)
    encoder = model if isinstance(model, BERTEncoder) else model.encoder
    check_model(type(model).__name__, encoder.config, _settings(source))
    check_depth(type(model).__name__, encoder.config.depth, source)
    prefix = "bert." if masked or any(name.startswith("bert.") for name in state) else ""
    places = _encoder(encoder.config.depth, prefix, "" if encoder is model else "encoder.")
    harmless = {f"{prefix}embeddings.position_ids", *NEXT_SENTENCE}
    if isinstance(model, BERT):
        places += layer(f"{prefix}pooler.dense", "pooler")
    else:
        harmless |= {prefix + name for name in POOLER}
    if masked:
        places += _head()
        # A decoder that is not tied to the embeddings: our model could not compute the same.
        words = f"{prefix}embeddings.word_embeddings.weight"
        pairs = {f"{HEAD}decoder.weight": words, f"{HEAD}decoder.bias": f"{HEAD}bias"}
        check_tied(state, pairs, label_of(source))
        harmless |= {f"{HEAD}decoder.weight", f"{HEAD}decoder.bias"}
    else:
        harmless |= set(heads_of(state, prefix))
    fill(model, state, places, label_of(source), harmless)
    return model


def bert_config_from(
    source: Source,
    head_width: int | None = None,
    epsilon: float | None = None,
    *,
    heads: int | None = None,
    activation: str | None = None,
) -> BERTConfig:
    """The sizes of a published BERT, read off its tensors' shapes and the config.json beside them.

    Bare tensors show neither heads nor epsilon nor activation: what is not given is then 1e-12,
    GELU, and the heads of the published BERT of that width: 12 of BERT-base, MiniLM and TinyBERT,
    16 of BERT-large (of another width they must be given, as their number or their width). Raises
    ValueError where config.json says what the model can't do, or other than what is given.
    """
    state = plain_names(read_state(source))
    state = {name.removeprefix("bert."): tensor for name, tensor in state.items()}
    words = "embeddings.word_embeddings.weight"
    if words not in state:
        raise ValueError(is_no("BERT by transformers' names", source, state, words, "bert."))
    vocabulary, width = shape_of(state, "embeddings.word_embeddings.weight")
    types = shape_of(state, "embeddings.token_type_embeddings.weight")[0]
    blocks = "encoder.layer."
    if types == 1 and not _settings(source):
        raise ValueError(
            f"{label_of(source)} has 1 type of sentence, as RoBERTa and its relatives, which count "
            "positions from 2; no config.json beside it says that it is a BERT"
        )
    heads = heads_of_width(width, heads, head_width)
    told = settle(_settings(source), heads=heads, epsilon=epsilon, activation=activation)
    if "heads" not in told:
        told["heads"] = assume_heads(source, "BERT", width, HEADS, "heads")
    return BERTConfig(
        vocabulary=vocabulary,
        context_length=shape_of(state, "embeddings.position_embeddings.weight")[0],
        width=width,
        depth=len({n[len(blocks) :].split(".")[0] for n in state if n.startswith(blocks)}),
        hidden=shape_of(state, f"{blocks}0.intermediate.dense.weight")[0],
        types=types,
        **told,
    )


def _settings(source: Source) -> Settings:
    config = read_config(source, OBEYED, FIXED)
    if config is None:
        return {}
    return {
        "heads": config.setting("num_attention_heads"),
        "activation": config.activation("hidden_act"),
        "epsilon": config.setting("layer_norm_eps"),
    }


def plain_names(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The tensors with TensorFlow's names of a norm's numbers replaced by torch's.

    >>> list(plain_names({"bert.embeddings.LayerNorm.gamma": Tensor([1])}))
    ['bert.embeddings.LayerNorm.weight']
    """
    names = {"LayerNorm.gamma": "LayerNorm.weight", "LayerNorm.beta": "LayerNorm.bias"}
    renamed = {}
    for name, tensor in state.items():
        for old, new in names.items():
            name = name.removesuffix(old) + new if name.endswith(old) else name
        renamed[name] = tensor
    return renamed


def _encoder(depth: int, theirs: str, ours: str) -> list[Place]:
    table, our_table = f"{theirs}embeddings.", f"{ours}embeddings."
    places = [
        Place(f"{table}word_embeddings.weight", (f"{our_table}tokens.weight",)),
        Place(f"{table}position_embeddings.weight", (f"{our_table}positions",)),
        Place(f"{table}token_type_embeddings.weight", (f"{our_table}types.weight",)),
        *layer(f"{table}LayerNorm", f"{our_table}norm"),
    ]
    for index in range(depth):
        for name, own in BLOCK.items():
            their = f"{theirs}encoder.layer.{index}.{name}"
            places += layer(their, f"{ours}transformer.blocks.{index}.{own}")
    return places


def _head() -> list[Place]:
    return [
        *layer(f"{HEAD}transform.dense", "head.dense"),
        *layer(f"{HEAD}transform.LayerNorm", "head.norm"),
        Place(f"{HEAD}bias", ("head.bias",)),
    ]
