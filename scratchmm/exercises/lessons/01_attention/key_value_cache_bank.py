"""Wrong and other right answers to attention.KeyValueCache."""

import torch

from scratchmm.exercises.format import exercise_file

exercise = exercise_file("01_attention/key_value_cache").exercise


@exercise.wrong(
    "only-the-new",
    story="only the new keys and values are returned",
    advice="return the joined tensors: queries look at everything so far",
    method="extend",
)
def only_the_new(self, key, value):
    joined = (key, value) if self.key is None else self._joined(key, value)
    self.key, self.value = joined
    return key, value


@exercise.wrong(
    "a-window",
    story="only the last positions are kept, and the oldest forgotten",
    advice="keep all: what is written may look back to its first word",
    method="extend",
)
def a_window(self, key, value):
    joined = (key, value) if self.key is None else self._joined(key, value)
    self.key, self.value = (part[:, :, -64:] for part in joined)
    return self.key, self.value


@exercise.wrong(
    "not-kept",
    story="the first chunk is kept for ever: what is joined later is not stored",
    advice="store the joined tensors before you return them",
    method="extend",
)
def not_kept(self, key, value):
    if self.key is None:
        self.key, self.value = key, value
        return key, value
    return torch.cat([self.key, key], -2), torch.cat([self.value, value], -2)


@exercise.wrong(
    "only-the-last",
    story="only the last chunk is kept, so the third call forgets the first",
    advice="store the joined tensors, not the new ones",
    method="extend",
)
def only_the_last(self, key, value):
    joined = (key, value)
    if self.key is not None:
        joined = torch.cat([self.key, key], -2), torch.cat([self.value, value], -2)
    self.key, self.value = key, value
    return joined


@exercise.wrong(
    "new-first",
    story="new positions are put before the old ones",
    advice="old ones first: torch.cat([old, new])",
    method="extend",
)
def new_first(self, key, value):
    if self.key is not None:
        key, value = torch.cat([key, self.key], -2), torch.cat([value, self.value], -2)
    self.key, self.value = key, value
    return key, value


@exercise.wrong(
    "along-heads",
    story="chunks are joined along the heads (axis 1) instead of along the length",
    advice="(B, H, L, D): the length is axis -2",
    method="extend",
)
def along_heads(self, key, value):
    if self.key is not None:
        # Chunks of other lengths do not even fit; cut them, as one does to silence the error.
        fit = min(key.shape[2], self.key.shape[2])
        key = torch.cat([self.key[:, :, :fit], key[:, :, :fit]], 1)
        value = torch.cat([self.value[:, :, :fit], value[:, :, :fit]], 1)
    self.key, self.value = key, value
    return key, value


@exercise.wrong(
    "along-batch",
    story="chunks are joined along the batch (axis 0), which fails where their lengths differ",
    advice="(B, H, L, D): the length is axis -2",
    method="extend",
)
def along_batch(self, key, value):
    if self.key is not None:
        key, value = torch.cat([self.key, key], 0), torch.cat([self.value, value], 0)
    self.key, self.value = key, value
    return key, value


@exercise.wrong(
    "value-before-key",
    story="the pair that is returned is (values, keys)",
    advice="return (keys, values), in the order in which they came",
    method="extend",
)
def value_before_key(self, key, value):
    if self.key is not None:
        key, value = torch.cat([self.key, key], -2), torch.cat([self.value, value], -2)
    self.key, self.value = key, value
    return value, key


@exercise.wrong(
    "values-are-keys",
    story="the keys are stored twice, and later values are joined to keys",
    advice="self.key and self.value each keep their own",
    method="extend",
)
def values_are_keys(self, key, value):
    if self.key is not None:
        key, value = torch.cat([self.key, key], -2), torch.cat([self.value, value], -2)
    self.key, self.value = key, key
    return key, value


@exercise.wrong(
    "length-of-heads",
    story="len counts another axis than the length",
    advice="the length of (B, H, L, D) is shape[-2], not len(tensor) or shape[1]",
    method="__len__",
)
def length_of_heads(self):
    return 0 if self.key is None else self.key.shape[1]


@exercise.wrong(
    "counts-calls",
    story="len counts the calls, not the positions",
    advice="a call may bring several positions at once",
)
class CountsCalls:
    def __init__(self):
        self.parts = []

    def __len__(self):
        return len(self.parts)

    def extend(self, key, value):
        self.parts.append((key, value))
        keys, values = zip(*self.parts, strict=True)
        return torch.cat(keys, -2), torch.cat(values, -2)


@exercise.wrong(
    "shared",
    story="all caches share what they hold, because it belongs to the class",
    advice="set the attributes in __init__ on self",
    fresh=True,
)
def shared():
    class Shared:
        held = {}

        def __len__(self):
            return self.held["key"].shape[-2] if self.held else 0

        def extend(self, key, value):
            if self.held:
                key = torch.cat([self.held["key"], key], -2)
                value = torch.cat([self.held["value"], value], -2)
            self.held.update(key=key, value=value)
            return key, value

    return Shared


@exercise.wrong(
    "detached",
    story="what is kept is cut off, so no gradient reaches earlier positions",
    advice="keep the tensors as they are; who wants no gradients uses no_grad outside",
    method="extend",
)
def detached(self, key, value):
    if self.key is not None:
        key, value = torch.cat([self.key, key], -2), torch.cat([self.value, value], -2)
    self.key, self.value = key.detach(), value.detach()
    return key, value


@exercise.wrong(
    "overwrites",
    story="the caller's tensors are changed in place",
    advice="no method that ends in an underscore, and no assignment to slices of the arguments",
    method="extend",
)
def overwrites(self, key, value):
    given = key.detach(), value.detach()
    if self.key is not None:
        key, value = torch.cat([self.key, key], -2), torch.cat([self.value, value], -2)
    else:
        key, value = key.clone(), value.clone()
    for tensor in given:
        tensor.zero_()
    self.key, self.value = key, value
    return key, value


@exercise.disguise("new-first")
class NewFirst:
    def __init__(self):
        self.keys, self.values = [], []

    def __len__(self):
        return sum(key.shape[2] for key in self.keys)

    def extend(self, key, value):
        self.keys.insert(0, key)
        self.values.insert(0, value)
        return torch.cat(self.keys, 2), torch.cat(self.values, 2)


@exercise.right("lists")
class Lists:
    def __init__(self):
        self.keys, self.values = [], []

    def __len__(self):
        return sum(key.shape[2] for key in self.keys)

    def extend(self, key, value):
        self.keys.append(key)
        self.values.append(value)
        return torch.cat(self.keys, 2), torch.cat(self.values, 2)


@exercise.right("one tensor for both")
class Stacked:
    def __init__(self):
        self.both = None

    def __len__(self):
        return 0 if self.both is None else self.both.shape[3]

    def extend(self, key, value):
        new = torch.stack([key, value])
        self.both = new if self.both is None else torch.cat([self.both, new], 3)
        return self.both[0], self.both[1]
