"""Mutants that are the right answer in other words: no check can reject them, and none should."""

from __future__ import annotations

from collections.abc import Mapping

# By exercise: a piece of a mutant's name, and why no input tells it from the right answer. Those
# that the check rejects are no concern of this list.
EQUAL: Mapping[str, Mapping[str, str]] = {
    "attention.attend": {
        "`check_attention_shapes(query, key, key, mask, bias)`": "attend has asked the same before",
        "`backend` were left out of `backend or": "the exercise leaves backends out",
    },
    "attention.MultiHeadAttention": {
        "_watched.append": "what is drawn as a map of attention is no result of the call",
        "`.detach` were left out of `weights": "the same",
        "condition `_watched is not None` never": "the same",
        "or _watched is not None` always held": "attend gives the same numbers, in less memory",
        "`_watched is not None` were left out": "what is drawn is no result of the call",
    },
    "attention.KeyValueCache": {
        "is not None` were left out of `self.key is not None": "both are there, or neither is",
    },
    "sinusoids.sinusoidal_positions": {
        "were left out of `torch.arange(length": "the speeds are float64, and so are the products",
        "`torch.arange(0, width - 1, 2": "an odd width is refused, and of an even one this is all",
    },
    "optimizer.warmup_cosine": {
        "`step` and `warmup` were exchanged": "the cosine of the opposite angle is the same",
        "`steps` and `warmup` were exchanged": "the cosine of the opposite angle is the same",
    },
    "vit.ViTEmbeddings": {
        "off by one: `-(-images.shape": "an image that patches do not fill is refused before",
    },
    "rollout.attention_rollout": {
        "`-2` stood for `-1` in `layers[0]": "a layer's weights are a square",
        "first for last: `-1` stood for `0` in `layers[0]`": "all layers are of one shape",
    },
    "embeddings.PatchEmbedding": {
        '`check_channels("images", images.shape[1]': "Linear refuses patches of another width too",
    },
    "embeddings.resize_positions": {
        "`old_grid == new_grid` never held": "drawn anew at the same places, numbers stay",
    },
    "bpe.pad_batch": {
        "`dtype=torch.int64` were left out of `torch.full": "a whole number makes int64 by itself",
    },
    "two_tower.TwoTower": {
        "`dim=-1` were left out of `F.normalize": "axis 1 is the default, and (B, D) has no other",
    },
    "zero_shot.class_embeddings": {
        "F.normalize(prompts.mean(dim=0), dim=-1)` ran": "a vector has one axis",
        "`sum` stood for `mean` in `prompts": "what is normalized next has no length",
    },
    "recall.recall_at_k": {
        "`similarity.shape[0] != similarity.shape[1]` were left out": "the next refusal says it",
    },
    "retrieval.top_k": {
        "`dtype=precise` were left out of `queries.new_empty": "joined to float32 it is float32",
        "`range(0, len(gallery) + 1, block)`": "a block of nothing adds nothing",
    },
    "late.combine_decisions": {
        "`numbers_are_known(decided)` were left out": "it only spares a GPU a wait",
        "`.expand_as` were left out": "masked_fill broadcasts by itself",
    },
    "bilinear.BilinearFusion": {
        "`.expand` were left out of `self.bias": "the sum broadcasts by itself",
    },
    "modality_dropout.modality_dropout": {
        "`float` were left out of `float(shares": "the comparison takes whole numbers too",
    },
    "balanced.balanced_order": {
        "were left out of `-count // len(members)": "more is shuffled than is taken",
        "were left out of `-rounds // len(indices)": "more is shuffled than is taken",
        "off by one: `range(0, again + 1)`": "more is shuffled than is taken",
        "`dim=1` were left out of `torch.rand": "the last axis is the default, and it is axis 1",
        "`randn` stood for `rand`": "the order of any independent numbers is a fair one",
        "refusal: the line `check_count": "with no turn torch.cat raises the ValueError itself",
    },
    "adaptive_loss.ratio_weights": {
        "softmax(dim=0)` ran over another axis (dim=-1)": "a vector has one axis",
    },
    "bert.mask_tokens": {
        "`dtype=torch.bool` were left out": "nonzero finds ones as it finds True",
        "first for last: `-1` stood for `0` in `words.nonzero()": "a vector's places have one column",
        "`_uniform(tokens, generator) <= share`": "a random number is never exactly the share",
        "`fate <= 0.8`": "a random number is never exactly 0.8",
        "`fate > 0.9`": "a random number is never exactly 0.9",
    },
    "bert.masked_loss": {
        "`ignore_index=NOT_ASKED` were left out": "-100 is the default",
    },
    "matching.matching_negatives": {
        "`other.any(dim=1)` ran over another axis (dim=0)": "two texts differ from both sides",
        "`alone[:, None]`: `alone[None, :]`": "if one text has no other, none has",
        "`lot > share` stood for": "a random number is never exactly the share",
    },
    "unet_blocks.timestep_embedding": {
        "off by one: `-(-width // 2)`": "an odd width is refused",
        "`.double` were left out of `timesteps.double()`": "a product with float64 is float64",
        "`dtype=torch.float64` were left out": "frequencies of float32 are accepted, as published",
    },
    "ddim.ddim_step": {
        "`clamp is not None` were left out": "without a clamp, x0 and noise stay what they are",
        "`.clamp` were left out of `(1 - before": "a guard against rounding that no level needs",
        "in place: `x.add_(": "this x has been made by the line before",
    },
    "guidance.prompt_dropout": {
        "`.expand` were left out": "torch.where broadcasts by itself",
        "the first sample of `empty`": "the empty prompt is one sample",
    },
    "fid.frechet_distance": {
        "`one.mean` and `other.mean` were exchanged": "what is squared next has no sign",
    },
    "vae.draw": {
        "sign: `mean -": "the noise is as often below zero as above",
    },
    "vae.fit_scale": {
        "`correction=0` were left out": "n - 1 of hundreds of latents is the same deviation",
    },
    "canny.thin": {
        "`down` were detached": "it says where to look, and passes no gradient",
        "`across` were detached": "the same",
        "`steep >= EIGHTH": "no two gradients are in this irrational ratio",
        "`flat >= EIGHTH": "no two gradients are in this irrational ratio",
        "`magnitude >= uphill + ALIKE`": "what differs by just the tolerance may be called either",
    },
    "prior.closest": {
        "first for last: `-1` stood for `0`": "the last axis has one place",
    },
    "interpolation.slerp": {
        "`check_number(\"share\"": "nothing is said of shares that are no numbers",
        "`alike <= -1 + 1e-6` stood": "what is just at the tolerance may be called either",
        "`angle <= 1e-3` stood": "both formulas agree at an angle so small",
    },
    "spectrum.frame": {
        "`length < 1` were left out of": "check_count refuses it too",
        "`hop < 1` were left out of": "check_count refuses it too",
        "refusal where `length < 1 or hop < 1`": "check_count refuses it too",
        "`check_count(name, value, most=2": "lengths beyond any sound are left to each answer",
    },
    "mel.mel_filters": {"were float64 whatever": "float64 is what it makes"},
    "mel.dct": {"were float64 whatever": "float64 is what it makes"},
    "features.zero_crossing_rate": {
        "NEARLY_ZERO` stood for": "which of the two sides is called the negative one is the same",
    },
    "features.spectral_centroid": {
        "`dtype=torch.float64` were left": "hertz in float32 are exact to a thousandth",
        "spectrum.dim() ": "a spectrum has two axes at least",
        "refusal where `count < 2 or not": "nothing is said of rates and spectra that are none",
        "`count < 2` were left out": "nothing is said of spectra that are none",
        "`not 0 < rate < math.inf` were left out": "nothing is said of rates that are none",
    },
    "rhythm.tempo": {
        "`check_number(\"rate\"": "where a rate is none, 8 s hold less than 2 frames",
        "`check_count(\"hop\"": "a hop of 0 ends in an error by itself",
        "`not onsets.dim()` were": "onsets have an axis of frames",
        "refusal where `(onsets.numel()": "so many lags fit into no check",
        ">= MOST` stood": "so many lags fit into no check",
        "`dtype=torch.float64` were left out of `torch.arange(1": "a tempo to seven digits will do",
        "`tempos` and `LIKELY` were exchanged": "the logarithm's sign is squared away",
        "`.to` were left out of `prior": "only where the largest stands is asked",
    },
    "waveform.resample": {
        "reach + 2 - 1)` stood for": "a tap beyond the window is zero",
        "`floor` stood for `ceil` in": "a tap beyond the window is zero",
        "`-(-(first * old) // new)` stood": "a tap beyond the window is zero",
        "MOST_SAMPLES` were left out": "so many samples fit into no check",
        "`length >= MOST_SAMPLES` stood": "so many samples fit into no check",
        "`2` were left out of `end + reach": "a tap beyond the window is zero",
        "`max` stood for `min` in `min(samples": "a tap beyond the window is zero",
        "`max` stood for `min` in `min(new": "more is computed than is handed back",
        "`max` stood for `min` in `min(MOST": "it only saves memory",
    },
    "augment.mix_noise": {
        "real.sum(dim=1).clamp(min=1)` were left out": "sound and noise are divided by one number",
        "factor: `sounds.masked_fill": "sound and noise are divided by one number",
        "`mean` stood for `sum`": "sound and noise are divided by one number",
        "`dim=1` were left out of `real.sum": "sound and noise are divided by one number",
    },
    "clips.sample_frames": {
        "`.clamp` were left out of `((segments": "it only guards against rounding",
        "`frames - 1`, the third time": "it only guards against rounding",
        "left out of `torch.rand(count": "2**24 steps of chance are as many as frames at most",
    },
    "cnn3d.conv3d": {
        "`time // 2`, the second time": "frames of zeros behind the last window are not looked at",
    },
    "lstm.LSTMCell": {
        "`from_input.add_(": "from_input is a tensor of the layer's own",
    },
    "process.mix": {
        "`alpha_bar` were detached": "it comes from a table that nothing learns",
    },
}  # fmt: skip


def reason(id: str, name: str) -> str:
    """Why a mutant of an exercise is the right answer in other words; "" if nobody says so.

    >>> reason("mel.dct", "dtype: the result of `return rows` were float64 whatever the inputs are")
    'float64 is what it makes'
    """
    found = EQUAL.get(id, {})
    return next((why for piece, why in found.items() if piece in name), "")


def unused(id: str, accepted: list[str]) -> list[str]:
    """The pieces of names that are declared for an exercise and stand in none of these.

    >>> unused("mel.dct", [])
    ['were float64 whatever']
    """
    return [piece for piece in EQUAL.get(id, {}) if not any(piece in name for name in accepted)]
