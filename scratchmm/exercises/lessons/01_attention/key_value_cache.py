"""Exercise attention.KeyValueCache: what was computed once is kept while text is written."""

import torch
import torch.nn.functional as F

from scratchmm.exercises.format import Exercise

exercise = Exercise(
    id="attention.KeyValueCache",
    order=50,
    target="scratchmm.layers.attention:KeyValueCache",
    title="A cache of keys and values",
    goal="append new keys and values along the length, and return all so far",
    minutes=15,
    difficulty=2,
    section="Decoding with a cache",
    needs=("attention.attend", "attention.causal_mask"),
    methods={
        "__len__": "the number of positions that lie in the cache, 0 at first",
        "extend": "append key and value (B, H, L, D) along the length, return all so far",
    },
    hints="""
        1. Put in 2 positions, then 1: the second call returns 3 positions, the old ones first, and
           len(cache) is 3. If it returns 1, nothing was kept; if it returns [new, old, old], the
           order of the words is lost.
        2. Old keys and values do not depend on new words, so they need not be computed again: keep
           them and put the new ones behind. The lesson counts what that saves.
        3. Two attributes, None until the first call. extend: (B, H, P, D) kept and (B, H, L, D) new
           are joined along the length, axis -2, for keys and for values; the results are kept and
           returned as a pair. The length is the size of that axis.
        4. def extend: if self.key is not None: key = torch.cat([self.key, key], dim=-2), the same
           for value; self.key, self.value = key, value; return key, value. def __len__: return 0 if
           self.key is None else self.key.shape[-2]
    """,
)


def chunks(case, *lengths):
    """Keys and values of some chunks; keys and values differ, and all sizes do."""
    return [(case.normal(B=2, H=3, L=n, D=5), case.normal(B=2, H=3, L=n, D=5)) for n in lengths]


@exercise.holds("two caches do not know of each other")
def apart(cache_class, case):
    one, other = case.call(cache_class), case.call(cache_class)
    (first_key, first_value), (key, value) = chunks(case, 4, 2)
    case.call(one.extend, first_key, first_value)
    case.equal(case.call(other.extend, key, value), (key, value), "the second cache")


@exercise.holds("each call returns all keys and all values so far, the oldest first")
def grows(cache_class, case):
    cache, given = case.call(cache_class), chunks(case, 4, 1, 2)
    for count, (key, value) in enumerate(given, 1):
        got = case.call(cache.extend, key, value)
        keys, values = zip(*given[:count], strict=True)
        case.equal(got, (torch.cat(keys, 2), torch.cat(values, 2)), f"call {count}")


@exercise.holds("len(cache) is 0 at first, then the number of positions so far")
def length(cache_class, case):
    cache = case.call(cache_class)
    case.equal(case.call(len, cache), 0, "len before anything")
    for (key, value), expected in zip(chunks(case, 4, 1, 2), (4, 5, 7), strict=True):
        case.call(cache.extend, key, value)
        case.equal(case.call(len, cache), expected, "len")


@exercise.holds("however long it grows, nothing is forgotten")
def long(cache_class, case):
    cache, given = case.call(cache_class), chunks(case, 70, 1, 60)
    for key, value in given:
        got = case.call(cache.extend, key, value)
    keys, values = zip(*given, strict=True)
    case.equal(got, (torch.cat(keys, 2), torch.cat(values, 2)), "131 positions")
    case.equal(case.call(len, cache), 131, "len")


@exercise.holds("what a call has returned, and what was put in, is not changed by a later call")
def kept(cache_class, case):
    cache, given = case.call(cache_class), chunks(case, 3, 2)
    earlier = case.call(cache.extend, *given[0])
    copy = tuple(tensor.clone() for tensor in earlier)
    case.call(cache.extend, *given[1])
    case.unchanged()
    case.true(
        all(a.shape == b.shape and bool((a == b).all()) for a, b in zip(earlier, copy)),
        "the earlier result as it was",
        "another one",
    )


@exercise.holds("every chunking of a causal attention equals the full pass")
def chunked(cache_class, case):
    query, key, value = (case.normal(B=2, H=3, L=6, D=5) for _ in range(3))
    whole = F.scaled_dot_product_attention(query, key, value, is_causal=True)
    for sizes in ((1, 1, 1, 1, 1, 1), (4, 2), (2, 1, 3)):
        cache, done = case.call(cache_class), 0
        for size in sizes:
            part = slice(done, done + size)
            keys, values = case.call(cache.extend, key[:, :, part], value[:, :, part])
            seen = torch.arange(keys.shape[2])[None] <= torch.arange(done, done + size)[:, None]
            got = F.scaled_dot_product_attention(query[:, :, part], keys, values, attn_mask=seen)
            case.equal(got, whole[:, :, part], f"positions {done} to {done + size - 1}")
            done += size


@exercise.holds("gradients flow back into what was put in earlier")
def learns(cache_class, case):
    def both(key, value, more_key, more_value):
        cache = cache_class()
        cache.extend(key, value)
        keys, values = cache.extend(more_key, more_value)
        return keys.sin() * values

    def oracle(key, value, more_key, more_value):
        keys = torch.cat([key, more_key], 2)
        return keys.sin() * torch.cat([value, more_value], 2)

    (key, value), (more_key, more_value) = chunks(case, 3, 2)
    case.gradients(both, oracle, key, value, more_key, more_value)


exercise.mistakes("""
    only-the-new: only the new keys and values are returned
    - key = torch.cat([self.key, key], dim=-2)
    - value = torch.cat([self.value, value], dim=-2)
    + self.key, self.value = torch.cat([self.key, key], -2), torch.cat([self.value, value], -2)
    + return key, value
    > return the joined tensors: queries look at everything so far

    a-window: only the last positions are kept, and the oldest forgotten
    - self.key, self.value = key, value
    + key, value = key[:, :, -64:], value[:, :, -64:]
    + self.key, self.value = key, value
    > keep all: what is written may look back to its first word

    only-the-last: only the last chunk is kept, so the third call forgets the first
    - key = torch.cat([self.key, key], dim=-2)
    - value = torch.cat([self.value, value], dim=-2)
    + joined = torch.cat([self.key, key], dim=-2), torch.cat([self.value, value], dim=-2)
    + self.key, self.value = key, value
    + return joined
    > store the joined tensors, not the new ones

    counts-calls: len counts the calls, not the positions
    - self.context = ContextCache()
    + self.calls = 0
    - return 0 if self.key is None else self.key.shape[-2]
    + return self.calls
    - self.key, self.value = key, value
    + self.key, self.value, self.calls = key, value, self.calls + 1
    > a call may bring several positions at once

    overwrites: the caller's tensors are changed in place
    - key = torch.cat([self.key, key], dim=-2)
    - value = torch.cat([self.value, value], dim=-2)
    + joined = torch.cat([self.key, key], dim=-2), torch.cat([self.value, value], dim=-2)
    + key.detach().zero_()
    + key, value = joined
    > no method that ends in an underscore, and no assignment to slices of the arguments

    shared [fresh]: all caches share what they hold, because it belongs to the class
    - def __init__(self) -> None:
    + key = value = None
    + def __init__(self) -> None:
    - self.key: Tensor | None = None
    - self.value: Tensor | None = None
    +
    - self.key, self.value = key, value
    + type(self).key, type(self).value = key, value
    > set the attributes in __init__ on self
""")

exercise.slips("""
    self.key, self.value = key, value => if self.key is None: self.key, self.value = key, value
    [self.key, key] => [key, self.key] ;; [self.value, value] => [value, self.value]
    return key, value => return value, key
    self.key, self.value = key, value => self.key, self.value = key, key
    self.key, self.value = key, value => self.key, self.value = key.detach(), value.detach()
""")


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
