"""Wrong and other right answers to cross_modal.CrossModalAttention."""

import math

import torch

from scratchmm.exercises.format import exercise_file
from scratchmm.fusion.cross_modal import CrossAttentionOutput, check_stream
from scratchmm.layers.attention import padding_mask

exercise = exercise_file("08_cross_modal_attention/cross_modal_attention").exercise


def checked(self, x, context, real):
    """What the library refuses."""
    check_stream("query tokens", x, self.attention.query.in_features)
    check_stream("context tokens", context, self.attention.key.in_features, real, len(x))


def look(self, x, context, mask, check=None):
    """The right answer under a mask (B, 1, 1, S). check: the mask as given, to be checked."""
    checked(self, x, context, check)
    return CrossAttentionOutput(*self.attention(x, context, mask, return_weights=True))


def seen_by_hand(self, x, context, real, softmax):
    """The same with a softmax (scores, hidden) of one's own."""
    checked(self, x, context, real)
    part = self.attention
    query, key, value = (
        linear(y).unflatten(-1, (part.heads, -1)).transpose(1, 2)
        for linear, y in ((part.query, x), (part.key, context), (part.value, context))
    )
    hidden = x.new_zeros(len(x), context.shape[1]).bool() if real is None else ~real
    scores = query @ key.mT / math.sqrt(query.shape[-1])
    weights = softmax(scores, hidden[:, None, None])
    return CrossAttentionOutput(part.output((weights @ value).transpose(1, 2).flatten(2)), weights)


exercise.edit(
    "first-one-decides",
    ("mask = None if real is None else", "mask = None if real is None or bool(real[0].all()) else"),
    story="where the first sample's context is real throughout, nobody's is masked",
    advice="each sample has a mask of its own: only real=None means that all is real",
)
exercise.edit(
    "weights-detached",
    ("CrossAttentionOutput(output, weights)", "CrossAttentionOutput(output, weights.detach())"),
    story="the weights are cut off, so that no loss can guide where it looks",
    advice="no detach(): hand the weights on as they come",
)
exercise.edit(
    "roles-exchanged",
    ("self.attention(x, context,", "self.attention(context, x,"),
    story="the context asks and x answers",
    advice="the first argument of self.attention asks; the result has the length of x",
)
exercise.edit(
    "looks-at-itself",
    ("self.attention(x, context,", "self.attention(x, x,"),
    story="x asks itself, and the context is not looked at",
    advice="hand the context to self.attention as its second argument",
)
exercise.edit(
    "mask-as-it-came",
    ("padding_mask(real)", "real"),
    story="the mask goes on as (B, S), which would be laid over queries and keys",
    advice="attention wants a mask for (B, H, L, S): make it (B, 1, 1, S)",
)
exercise.edit(
    "mask-of-the-asking",
    ("padding_mask(real)", "real[:, None, :, None]"),
    story="the mask is laid over those that ask: (B, 1, S, 1)",
    advice="it tells which of the context may be seen: the last axis, (B, 1, 1, S)",
)
exercise.edit(
    "mask-inverted",
    ("padding_mask(real)", "padding_mask(~real)"),
    story="True and False are exchanged: only padding is seen",
    advice="real is True where a token may be seen, and so is attention's mask",
)
exercise.edit(
    "mask-ignored",
    ("None if real is None else padding_mask(real)", "None"),
    story="the mask is not used",
    advice="make a mask of real and hand it to self.attention",
)
exercise.edit(
    "first-mask-for-all",
    ("padding_mask(real)", "padding_mask(real[:1])"),
    story="every sample gets the mask of the first",
    advice="keep the batch axis of the mask: each sample has padding of its own",
)
exercise.edit(
    "adds-x",
    ("CrossAttentionOutput(output, weights)", "CrossAttentionOutput(x + output, weights)"),
    story="the answer is added to x here already",
    advice="return what attention gives; the sum and the norm belong to the model around it",
)
exercise.edit(
    "pair-exchanged",
    ("CrossAttentionOutput(output, weights)", "CrossAttentionOutput(weights, output)"),
    story="output and weights have changed places",
    advice="CrossAttentionOutput(output, weights), in this order",
)
exercise.edit(
    "plain-pair",
    ("CrossAttentionOutput(output, weights)", "(output, weights)"),
    story="the results come as a plain pair, without their names",
    advice="return CrossAttentionOutput(output, weights), so that others may write .output",
)
exercise.edit(
    "output-alone",
    ("CrossAttentionOutput(output, weights)", "output"),
    story="only the output is returned",
    advice="CrossAttentionOutput(output, weights): self.attention gives both with return_weights",
)
exercise.edit(
    "weights-averaged",
    ("CrossAttentionOutput(output, weights)", "CrossAttentionOutput(output, weights.mean(1))"),
    story="the weights are averaged over the heads, as torch's own layer does",
    advice="return them for every head: (B, H, L, S)",
    convention=True,
)
exercise.edit(
    "weights-without-mask",
    (
        "CrossAttentionOutput(output, weights)",
        "CrossAttentionOutput(output, self.attention(x, context, None, return_weights=True)[1])",
    ),
    story="the weights that are returned were computed without the mask",
    advice="one call of self.attention gives the output and the weights that made it",
)
exercise.edit(
    "context-detached",
    ("self.attention(x, context,", "self.attention(x, context.detach(),"),
    story="no gradient reaches the context, so what made it does not learn",
    advice="neither detach nor no_grad: both modalities learn from the answer",
)


@exercise.wrong(
    "nothing-returned",
    story="the result is computed, but not returned",
    advice="end with return CrossAttentionOutput(...)",
    method="forward",
)
def nothing_returned(self, x, context, real=None):
    look(self, x, context, None if real is None else padding_mask(real), real)


@exercise.wrong(
    "zeros-are-padding",
    story="without a mask, tokens of zeros are taken for padding",
    advice="real=None means that all may be seen, whatever stands there",
    method="forward",
)
def zeros_are_padding(self, x, context, real=None):
    guessed = (context != 0).any(-1) if real is None else real
    return look(self, x, context, padding_mask(guessed), real)


@exercise.wrong(
    "nan-where-blind",
    story="a sample with nothing to see gets nan: the softmax of nothing but -inf",
    advice="leave the softmax to self.attention, which knows what to do where all is hidden",
    method="forward",
)
def nan_where_blind(self, x, context, real=None):
    def softmax(scores, hidden):
        return scores.masked_fill(hidden, -math.inf).softmax(-1)

    return seen_by_hand(self, x, context, real, softmax)


@exercise.wrong(
    "blind-sees-all",
    story="a sample with nothing to see looks at all of its padding evenly",
    advice="a very negative score is the same everywhere, and softmax makes 1 / S of it; where all "
    "is hidden the weights are 0",
    method="forward",
)
def blind_sees_all(self, x, context, real=None):
    def softmax(scores, hidden):
        return scores.masked_fill(hidden, -1e9).softmax(-1)

    return seen_by_hand(self, x, context, real, softmax)


@exercise.wrong(
    "hidden-after-softmax",
    story="the weights of padding are set to 0 after the softmax, so the rest does not sum to 1",
    advice="hide before the softmax: hand the mask to self.attention",
    method="forward",
)
def hidden_after_softmax(self, x, context, real=None):
    def softmax(scores, hidden):
        return scores.softmax(-1).masked_fill(hidden, 0.0)

    return seen_by_hand(self, x, context, real, softmax)


@exercise.wrong(
    "nothing-refused",
    story="nothing is refused: a batch of 1 is spread over the others, and so is its mask",
    advice="check_stream refuses what does not fit; tell it the mask and the batch of x",
    method="forward",
)
def nothing_refused(self, x, context, real=None):
    mask = None if real is None else padding_mask(real)
    return CrossAttentionOutput(*self.attention(x, context, mask, return_weights=True))


@exercise.wrong(
    "mask-not-checked",
    story="x and context are checked, but not the mask",
    advice="the mask of the context goes to check_stream together with the context",
    method="forward",
)
def mask_not_checked(self, x, context, real=None):
    return look(self, x, context, None if real is None else padding_mask(real))


@exercise.wrong(
    "numbers-as-mask",
    story="a mask of numbers is taken for one of bool",
    advice="refuse it: 0.5 would count as True, and who brings a mask of floats means another kind",
    method="forward",
)
def numbers_as_mask(self, x, context, real=None):
    real = None if real is None else real.bool()
    return look(self, x, context, None if real is None else padding_mask(real), real)


@exercise.wrong(
    "context-hidden-in-place",
    story="padding is zeroed in the caller's context",
    advice="context[~real] = 0 changes the caller's tensor; the mask alone is enough",
    method="forward",
)
def context_hidden_in_place(self, x, context, real=None):
    checked(self, x, context, real)
    if real is not None:
        with torch.no_grad():
            context[~real] = 0
    return look(self, x, context, None if real is None else padding_mask(real), real)


@exercise.disguise("mask-inverted", method="forward")
def mask_inverted_too(self, x, context, real=None):
    hidden = None if real is None else (real == 0)[:, None, None, :]  # torch's own convention
    return look(self, x, context, hidden, real)


@exercise.disguise("roles-exchanged", method="forward")
def roles_exchanged_too(self, x, context, real=None):
    checked(self, x, context, real)
    output, weights = self.attention(x=context, context=x, return_weights=True)
    return CrossAttentionOutput(output, weights)


@exercise.right("by hand", method="forward")
def by_hand(self, x, context, real=None):
    def softmax(scores, hidden):
        strength = scores.sub(scores.amax(-1, keepdim=True)).exp() * ~hidden
        return strength / strength.sum(-1, keepdim=True).clamp(min=1e-30)

    return seen_by_hand(self, x, context, real, softmax)


@exercise.right("an expanded mask and sentences of its own", method="forward")
def expanded(self, x, context, real=None):
    if x.shape[0] != context.shape[0]:
        raise ValueError(f"batches of {x.shape[0]} and {context.shape[0]}")
    if real is None:
        real = torch.ones(context.shape[:2], dtype=torch.bool, device=context.device)
    if real.dtype != torch.bool or real.shape != context.shape[:2]:
        raise ValueError("the mask does not fit")
    mask = real[:, None, None].expand(-1, self.attention.heads, x.shape[1], -1)
    output, weights = self.attention(x, context=context, mask=mask, return_weights=True)
    return CrossAttentionOutput(weights=weights, output=output)
