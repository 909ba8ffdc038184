"""Ordinary mistakes made by the engine itself: the library's own answer with one piece changed.

Another axis, two things exchanged, a mask dropped, a factor left out, off by one ... Each mutant has
a kind, the piece of code where it stands, and a sentence. They name mistakes that no bank holds,
and prove a check: it must reject every one that is not the right answer in other words.
"""

from __future__ import annotations

import ast
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from scratchmm.exercises import mutant_calls, mutant_lines, mutant_operators
from scratchmm.exercises.copies import mapped
from scratchmm.exercises.format import Exercise
from scratchmm.exercises.mutant_text import Change, Scope, Text, name_of, unique
from scratchmm.exercises.patches import compiled, patched_texts, solution
from scratchmm.exercises.texts import Mistake

MOST = 60  # an exercise
Rule = Callable[..., Iterator[Change]]
RULES: Mapping[type[ast.AST], Rule] = {
    ast.Call: mutant_calls.of_call,
    ast.Attribute: mutant_calls.of_attribute,
    ast.BinOp: mutant_operators.of_operator,
    ast.UnaryOp: mutant_operators.of_sign,
    ast.Compare: mutant_operators.of_comparison,
    ast.BoolOp: mutant_operators.of_logic,
    ast.IfExp: mutant_operators.of_choice,
    ast.comprehension: mutant_operators.of_comprehension,
    ast.Subscript: mutant_operators.of_subscript,
    ast.If: mutant_lines.of_if,
    ast.Assign: mutant_lines.of_assignment,
    ast.AugAssign: mutant_lines.of_growth,
    ast.Expr: mutant_lines.of_statement,
    ast.Return: mutant_lines.of_return,
}
# Where an argument is refused, another axis or sign refuses others, which is no mistake of its own.
REFUSALS: Mapping[type[ast.AST], Rule] = {kind: RULES[kind] for kind in (ast.Compare, ast.BoolOp)}
# Messages and annotations are no behaviour; what a `while` waits for must come.
UNTOUCHED = (ast.Raise, ast.JoinedStr, ast.FunctionDef, ast.ClassDef, ast.Global)


@dataclass(frozen=True)
class Mutant:
    """The library's answer with one mistake in it.

    kind: "axis", "exchanged" ... place: the code that was changed. told: what was done, after "as if".
    """

    kind: str
    place: str
    told: str
    source: str = field(repr=False)
    exercise: Exercise = field(repr=False)

    @property
    def name(self) -> str:
        """The kind and what was done, which no other mutant of the exercise is called.

        >>> Mutant("sign", "`-x`", "the minus were left out of `-x`", "", None).name
        'sign: the minus were left out of `-x`'
        """
        return f"{self.kind}: {self.told}"

    @property
    def sentence(self) -> str:
        """What the learner reads in place of a story."""
        return f"as if {self.told}"

    @property
    def answer(self) -> Any:
        """The function or class, compiled anew."""
        return compiled(self.exercise, self.source, f"mutant {self.name}", HELPERS)


def mutants(exercise: Exercise) -> list[Mutant]:
    """The slips of an exercise, and at most 60 mutants of its answer in the order of their places.

    None for tests that the learner writes. Raises ValueError for a slip that does not fit the library.
    """
    kept: list[Mutant] | None = exercise.__dict__.get("_mutants")
    if kept is None:
        kept = exercise.__dict__["_mutants"] = [] if exercise.judges else _made(exercise)
    return kept


def _made(exercise: Exercise) -> list[Mutant]:
    text = Text(solution(exercise))
    changes = (one for node in _functions(text, exercise) for one in _changes(node, text, exercise))
    made = unique(changes, text, exercise.id)
    slips = [_slip(exercise, one) for one in exercise.short]
    written = {_tree(one.source) for one in slips}
    others = [
        Mutant(c.kind, c.place, c.told, source, exercise)
        for c, source in made
        if not written or _tree(source) not in written
    ]
    if len(written) < len(slips):
        raise ValueError(f"{exercise.id}: two slips are the same code")
    return [*slips, *_thinned(others)]


def _slip(exercise: Exercise, mistake: Mistake) -> Mutant:
    _, source = patched_texts(exercise, mistake)
    try:
        _tree(source)
    except SyntaxError as error:
        told = f"the slip {mistake.id!r} does not compile: {error.msg}"
        raise ValueError(f"{exercise.id}: {told}") from None
    return Mutant("slip", mistake.id, mistake.story, source, exercise)


def _tree(source: str) -> str:
    return ast.dump(ast.parse(source))


def _functions(text: Text, exercise: Exercise) -> Iterator[ast.FunctionDef]:
    """The functions that the learner writes: the parts, the target, or its methods."""
    for node in text.tree.body:
        if isinstance(node, ast.FunctionDef):
            yield node
        elif isinstance(node, ast.ClassDef):
            mine = {*exercise.methods, *exercise.drop} if node.name == exercise.name else set()
            for item in node.body:
                if isinstance(item, ast.FunctionDef) and (item.name in mine or not mine):
                    if item.name not in exercise.unused:
                        yield item


def _changes(function: ast.FunctionDef, text: Text, exercise: Exercise) -> Iterator[Change]:
    given, whole = function.args, function.name not in exercise.parts
    tensors = frozenset(
        one.arg
        for one in [*given.args, *given.kwonlyargs] * whole
        if one.annotation is not None
        and ast.unparse(one.annotation).removeprefix("torch.").startswith("Tensor")
    )
    tests = frozenset(n.test for n in ast.walk(function) if isinstance(n, ast.If))
    gives = whole and function.returns is not None and "Tensor" in ast.unparse(function.returns)
    scope = Scope(text, tensors, tests, gives, frozenset(exercise.unused))
    if whole:
        yield from mutant_lines.of_parameters(function, scope)
    body = function.body[1:] if ast.get_docstring(function) is not None else function.body
    for line in body:
        yield from _below(line, scope, RULES)


def _below(node: ast.AST, scope: Scope, rules: Mapping[type[ast.AST], Rule]) -> Iterator[Change]:
    """The changes of a node and of what stands in it."""
    if isinstance(node, UNTOUCHED):
        return
    if isinstance(node, (ast.If, ast.IfExp)) and scope.leaves_out(node.test):
        yield from _taken(node, scope, rules)
        return
    if type(node) in rules:
        yield from rules[type(node)](node, scope)
    if isinstance(node, ast.Call) and name_of(node.func).lstrip("_").startswith("check"):
        return
    for name, value in ast.iter_fields(node):
        if name in ("annotation", "ctx") or (isinstance(node, ast.While) and name == "test"):
            continue
        refuses = isinstance(node, ast.If) and isinstance(node.body[-1], ast.Raise)
        if refuses and name == "body":
            continue  # it makes the message
        within = REFUSALS if refuses and name == "test" else rules
        for inner in value if isinstance(value, list) else [value]:
            if isinstance(inner, ast.AST):
                yield from _below(inner, scope, within)


def _taken(
    node: ast.If | ast.IfExp, scope: Scope, rules: Mapping[type[ast.AST], Rule]
) -> Iterator[Change]:
    """The changes of the branch that is taken while the parameter asked for has its default."""
    absent = isinstance(node.test, ast.Compare) and isinstance(node.test.ops[0], ast.Is)
    taken = node.body if absent else node.orelse
    for inner in taken if isinstance(taken, list) else [taken]:
        yield from _below(inner, scope, rules)


def _thinned(found: list[Mutant]) -> list[Mutant]:
    """At most so many, each kind in its turn: what stands first of a kind comes before."""
    turns, seen = list[tuple[int, int]](), dict[str, int]()
    for place, one in enumerate(found):
        seen[one.kind] = seen.get(one.kind, 0) + 1
        turns.append((seen[one.kind], place))
    return [found[place] for place in sorted(place for _, place in sorted(turns)[:MOST])]


def _for_tensors(change: Callable[[Tensor], Tensor]) -> Callable[[Any], Any]:
    return lambda value: mapped(value, lambda path, x: change(x))


def _detached(x: Tensor) -> Tensor:
    if x.requires_grad:
        MET.add("detached")
    return x.detach()


def _cut(x: Tensor) -> Tensor:
    # One argument of several: only where gradients are compared, which is done in float64.
    if x.requires_grad and x.dtype == torch.float64:
        MET.add("detached")
    return x.detach()


def _narrow(x: Tensor) -> Tensor:
    narrow = {torch.float64: torch.float32, torch.int64: torch.int32}.get(x.dtype)
    if narrow is not None:
        MET.add("narrow")
    return x if narrow is None else x.to(narrow)


def _first(x: Tensor) -> Tensor:
    MET.add("first sample" if x.dim() else "one number")
    return x[:1].expand_as(x) if x.dim() and len(x) > 1 else x


def _true(x: Tensor) -> Tensor:
    return torch.ones_like(x) if x.dtype == torch.bool else x


# What mutants call: on a tensor, or on every one in lists and dictionaries.
HELPERS = {
    "mutant_detached": _for_tensors(_detached),
    "mutant_wide": _for_tensors(lambda x: x.double()),
    "mutant_cut": _for_tensors(_cut),
    "mutant_narrow": _for_tensors(_narrow),
    "mutant_first": _for_tensors(_first),
    "mutant_true": _for_tensors(_true),
    "mutant_inverted": _for_tensors(lambda x: ~x if x.dtype == torch.bool else x),
}
MET = set[str]()  # the kinds of mutants whose mistake had something to act on


def acts(mutant: Mutant) -> bool:
    """Whether a mutant that the check has just been applied to can differ at all: what has no gradient
    can't be detached, a single number has no first sample. `MET` is cleared before."""
    if mutant.kind == "first sample":
        return "one number" not in MET or mutant.kind in MET
    return mutant.kind not in ("detached", "narrow") or mutant.kind in MET
