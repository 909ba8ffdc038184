"""Wrong and other right answers to modalities.collect."""

import torch

from scratchmm.exercises.format import exercise_file
from scratchmm.fusion.modalities import check_batch, check_names, presence_mask

exercise = exercise_file("07_fusion_strategies/collect").exercise


def checked(features, widths, present=None):
    """All that is refused is refused; who is there, bool (B, M)."""
    check_names("features", features, widths)
    batch = check_batch(features, {name: (width,) for name, width in widths.items()})
    return presence_mask(features, widths, present, batch)


def filled(features, widths):
    """Vectors in the order of widths, zeros for those left out."""
    like = next(iter(features.values()))
    return {
        name: features[name] if name in features else like.new_zeros(len(like), width)
        for name, width in widths.items()
    }


def zeroed(features, widths, there):
    """The right vectors."""
    found = filled(features, widths)
    return {
        name: found[name].masked_fill(~there[:, index, None], 0.0)
        for index, name in enumerate(widths)
    }


@exercise.wrong(
    "multiplied",
    story="absent vectors are multiplied by 0, which leaves nan and infinity what they are",
    advice="nan times 0 is nan: masked_fill or torch.where puts a 0 there",
)
def multiplied(features, widths, present=None):
    there = checked(features, widths, present)
    found = filled(features, widths)
    return {name: found[name] * there[:, index, None] for index, name in enumerate(widths)}, there


@exercise.wrong(
    "nan-to-zero",
    story="every nan becomes 0, also where a modality is present",
    advice="only the mask says what is absent: a nan of someone present is a fault to be seen",
)
def nan_to_zero(features, widths, present=None):
    there = checked(features, widths, present)
    found = zeroed(features, widths, there)
    return {
        name: x.nan_to_num(0.0, float("inf"), -float("inf")) for name, x in found.items()
    }, there


@exercise.wrong(
    "zeros-are-absence",
    story="who is there is read off the numbers: a vector of zeros counts as absent",
    advice="zeros may be a measurement: return what presence_mask says",
)
def zeros_are_absence(features, widths, present=None):
    there = checked(features, widths, present)
    found = zeroed(features, widths, there)
    return found, torch.stack([(x != 0).any(dim=1) for x in found.values()], dim=1)


@exercise.wrong(
    "not-zeroed",
    story="the vectors are handed on as they came; only the mask tells who is absent",
    advice="put zeros where a modality is absent: early fusion knows no mask",
)
def not_zeroed(features, widths, present=None):
    there = checked(features, widths, present)
    return filled(features, widths), there


@exercise.wrong(
    "present-zeroed",
    story="zeros stand where a modality is present, its numbers where it is absent",
    advice="masked_fill puts the value where its mask is True: give it ~there",
)
def present_zeroed(features, widths, present=None):
    there = checked(features, widths, present)
    return zeroed(features, widths, ~there), there


@exercise.wrong(
    "mean-put-in",
    story="absent vectors become the mean of the batch",
    advice="zeros: a sample's answer may not depend on who else is in the batch",
    convention=True,
)
def mean_put_in(features, widths, present=None):
    there, found = checked(features, widths, present), filled(features, widths)
    filler = {}
    for index, name in enumerate(widths):
        seen = there[:, index, None]
        total = found[name].masked_fill(~seen, 0.0).sum(dim=0)
        mean = total / seen.sum().clamp(min=1)
        filler[name] = torch.where(seen, found[name], mean)
    return filler, there


@exercise.wrong(
    "one-absent-all-absent",
    story="a modality that one sample lacks is taken from the whole batch",
    advice="each sample on its own: column m of there is a mask over the samples",
)
def one_absent_all_absent(features, widths, present=None):
    there = checked(features, widths, present)
    return zeroed(features, widths, there.all(dim=0).expand_as(there)), there


@exercise.wrong(
    "order-of-the-call",
    story="the vectors come in the order of the call",
    advice="go through widths: who joins them must find each in its place",
)
def order_of_the_call(features, widths, present=None):
    there = checked(features, widths, present)
    found = zeroed(features, widths, there)
    return {name: found[name] for name in {**features, **widths}}, there


@exercise.wrong(
    "left-out-missing",
    story="a name that is left out of the features is left out of the vectors",
    advice="all names of widths: zeros (B, D) for one that is left out",
)
def left_out_missing(features, widths, present=None):
    there = checked(features, widths, present)
    found = zeroed(features, widths, there)
    return {name: x for name, x in found.items() if name in features}, there


@exercise.wrong(
    "left-out-is-there",
    story="a name that is left out counts as present, with zeros",
    advice="without features nobody is there: False in its column",
)
def left_out_is_there(features, widths, present=None):
    checked(features, widths, present)
    found = filled(features, widths)
    there = presence_mask(found, widths, present, len(next(iter(found.values()))))
    return zeroed(features, widths, there), there


@exercise.wrong(
    "no-mask-absent",
    story="a modality without a mask of its own counts as absent",
    advice="without a mask it is present wherever it has features",
)
def no_mask_absent(features, widths, present=None):
    there = checked(features, widths, present).clone()
    for index, name in enumerate(widths):
        if name not in (present or {}):
            there[:, index] = False
    return zeroed(features, widths, there), there


@exercise.wrong(
    "masks-not-handed-on",
    story="present is not looked at: only names that are left out are absent",
    advice="presence_mask(features, widths, present, batch)",
)
def masks_not_handed_on(features, widths, present=None):
    there = checked(features, widths)
    return zeroed(features, widths, there), there


@exercise.wrong(
    "columns-by-call",
    story="the columns of who is there stand in the order of the call",
    advice="column m belongs to the m-th name of widths",
)
def columns_by_call(features, widths, present=None):
    there = checked(features, widths, present)
    places = [list(widths).index(name) for name in {**features, **widths}]
    return zeroed(features, widths, there), there[:, places]


@exercise.wrong(
    "mask-lying",
    story="who is there is (M, B), a row a modality",
    advice="(B, M): a row a sample",
)
def mask_lying(features, widths, present=None):
    there = checked(features, widths, present)
    return zeroed(features, widths, there), there.T


@exercise.wrong(
    "mask-of-numbers",
    story="who is there is given as numbers, 1 and 0",
    advice="masks are bool in this library",
)
def mask_of_numbers(features, widths, present=None):
    there = checked(features, widths, present)
    return zeroed(features, widths, there), there.float()


@exercise.wrong(
    "float32-zeros",
    story="the zeros of a name left out are float32, whatever the features are",
    advice="any of the features knows its type: feature.new_zeros(batch, width)",
)
def float32_zeros(features, widths, present=None):
    there = checked(features, widths, present)
    found = zeroed(features, widths, there)
    return {name: x if name in features else x.float() for name, x in found.items()}, there


@exercise.wrong(
    "nobody-allowed",
    story="a sample without any modality is let through",
    advice="presence_mask refuses it: do not go around it",
)
def nobody_allowed(features, widths, present=None):
    check_names("features", features, widths)
    check_batch(features, {name: (width,) for name, width in widths.items()})
    for name in present or {}:
        if name not in features:
            raise ValueError(f"{name!r} is present, but has no features")
    return by_hand(features, widths, present)


@exercise.wrong(
    "unknown-allowed",
    story="a name that widths does not know is silently left out",
    advice='check_names("features", features, widths): a mistyped name should not pass for absent',
)
def unknown_allowed(features, widths, present=None):
    known = {name: x for name, x in features.items() if name in widths}
    there = checked(known, widths, present)
    return zeroed(known, widths, there), there


@exercise.wrong(
    "misfits-allowed",
    story="features of another width or another batch are let through",
    advice="check_batch(features, {name: (width,) for name, width in widths.items()})",
)
def misfits_allowed(features, widths, present=None):
    check_names("features", features, widths)
    count = max(len(x) for x in features.values())
    there = presence_mask(features, widths, present, count)
    like = next(iter(features.values()))
    found = {}
    for index, (name, width) in enumerate(widths.items()):
        x = features.get(name, like.new_zeros(count, width))
        found[name] = x.masked_fill(~there[:, index, None], 0.0)
    return found, there


@exercise.wrong(
    "masks-of-any-batch",
    story="it does not refuse a mask of another batch than the features'",
    advice="presence_mask(features, widths, present, batch) compares them",
)
def masks_of_any_batch(features, widths, present=None):
    batch = len(next(iter(features.values())))
    fitting = {
        name: mask if len(mask) == batch else mask.repeat(batch)[:batch]
        for name, mask in (present or {}).items()
    }
    there = checked(features, widths, fitting)
    return zeroed(features, widths, there), there


@exercise.wrong(
    "ghosts-allowed",
    story="a mask of a modality without features is not looked at",
    advice="who is said to be present must have features: presence_mask refuses it",
)
def ghosts_allowed(features, widths, present=None):
    known = {name: mask for name, mask in (present or {}).items() if name in features}
    there = checked(features, widths, known)
    return zeroed(features, widths, there), there


@exercise.wrong(
    "in-place",
    story="the zeros are written into the caller's tensors",
    advice="masked_fill without the underscore at its end makes a new tensor",
)
def in_place(features, widths, present=None):
    there = checked(features, widths, present)
    found = filled(features, widths)
    with torch.no_grad():
        for index, name in enumerate(widths):
            found[name][~there[:, index]] = 0.0
    return found, there


@exercise.wrong(
    "cut-off",
    story="the vectors are cut off from the features, so no encoder below would learn",
    advice="no detach, no .data and no torch.tensor",
)
def cut_off(features, widths, present=None):
    there = checked(features, widths, present)
    found = zeroed(features, widths, there)
    return {name: x.detach() for name, x in found.items()}, there


@exercise.disguise("multiplied")
def multiplied_too(features, widths, present=None):
    there = checked(features, widths, present)
    found = filled(features, widths)
    rows = zip(found.items(), there.unbind(dim=1), strict=True)
    return {name: torch.einsum("bd,b->bd", x, seen.to(x)) for (name, x), seen in rows}, there


@exercise.disguise("left-out-missing")
def left_out_missing_too(features, widths, present=None):
    there, found = checked(features, widths, present), {}
    for index, name in enumerate(widths):
        if name in features:
            x = features[name]
            found[name] = torch.where(there[:, index, None], x, torch.zeros_like(x))
    return found, there


@exercise.right("where")
def where(features, widths, present=None):
    there = checked(features, widths, present)
    rows = zip(filled(features, widths).items(), there.unbind(dim=1), strict=True)
    return {name: torch.where(seen[:, None], x, 0.0) for (name, x), seen in rows}, there


def by_hand(features, widths, present=None):
    """New zeros, into which the rows that are present are written."""
    like = next(iter(features.values()))
    batch, found, columns = len(like), {}, []
    for name, width in widths.items():
        found[name] = like.new_zeros(batch, width)
        columns.append(torch.full((batch,), name in features))
        if name in features:
            columns[-1] = (present or {}).get(name, columns[-1])
            found[name][columns[-1]] = features[name][columns[-1]]
    return found, torch.stack(columns, dim=1)


@exercise.right("rows written")
def rows_written(features, widths, present=None):
    checked(features, widths, present)
    return by_hand(features, widths, present)
