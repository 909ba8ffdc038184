"""Shortcuts that an exercise forbids: while the learner's code runs, they raise.

Enforced by what the code does and not by reading its text, so it does not matter how they are
imported: Python's functions lose their body, torch's are watched for by name and by kernel.
"""

from __future__ import annotations

import importlib
import inspect
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from functools import partial
from typing import Any

from torch.overrides import TorchFunctionMode

from scratchmm.exercises.format import Exercise

MESSAGE = "{} is what this exercise asks you to write"


class ShortcutTaken(BaseException):
    """A forbidden function was called. No `except Exception` of the learner's hides it."""


@contextmanager
def forbidding(
    names: Sequence[str], namespace: dict[str, Any], whoever: bool = True
) -> Iterator[None]:
    """Within this block each dotted name raises ShortcutTaken, also under the aliases in `namespace`.

    whoever: also where the function was kept before, in a default argument or a partial, say.

    >>> import math
    >>> with forbidding(["math.sqrt"], {}):
    ...     try: math.sqrt(4)
    ...     except ShortcutTaken as shortcut: print(shortcut)
    math.sqrt is what this exercise asks you to write
    >>> math.sqrt(4)
    2.0
    """
    undo: list[Callable[[], None]] = []
    watch = Watch()
    try:
        for name in names:
            owner, attribute = resolve(name)
            original = getattr(owner, attribute)
            watch.add(name, original)
            undo += emptied(original, name) if whoever else []
            undo.append(replaced(owner, attribute, refusing(name)))
            for alias, value in list(namespace.items()):
                if value is original and not inspect.ismodule(value):
                    namespace[alias] = getattr(owner, attribute)
                    undo.append(partial(namespace.__setitem__, alias, value))
        with watch if watch.names else nullcontext():
            yield
    finally:
        for restore in reversed(undo):
            restore()


# What else computes the same: names of torch's functions and of the kernels below them.
KERNELS = {
    "scaled_dot_product_attention": "scaled_dot_product_attention scaled_dot_product_attention_math "
    "scaled_dot_product_flash_attention scaled_dot_product_flash_attention_for_cpu "
    "scaled_dot_product_efficient_attention scaled_dot_product_fused_attention_overrideable",
    "multi_head_attention_forward": "native_multi_head_attention transformer_encoder_layer_fwd",
    "unfold": "im2col",
    "softmax": "softmax special_softmax safe_softmax",
    "bilinear": "bilinear trilinear",
    "conv3d": "conv3d slow_conv3d convolution convolution_overrideable conv_transpose3d "
    "mkldnn_convolution",
    "lstm_cell": "lstm lstm_cell thnn_fused_lstm_cell mkldnn_rnn_layer",
    "stft": "stft",
}


class Watch(TorchFunctionMode):
    """Sees every function of torch that is called from Python, also as `torch.ops.aten...`."""

    def __init__(self) -> None:
        super().__init__()
        self.names: dict[str, str] = {}  # a kernel, and which forbidden name it stands for
        self.functions: dict[int, str] = {}

    def add(self, name: str, original: Any) -> None:
        """Watch for a forbidden name of torch's."""
        if name.startswith("torch."):
            last = name.rpartition(".")[2]
            self.functions[id(original)] = name
            self.names |= dict.fromkeys(KERNELS.get(last, last).split(), name)

    def __torch_function__(
        self, func: Any, types: Any, args: Any = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        """Raise if it is watched for."""
        kernel = str(getattr(func, "__name__", "")).partition(".")[0].strip("_")
        home = str(getattr(func, "__module__", ""))
        known = self.names.get(kernel) if "scratchmm" not in home else None
        if found := self.functions.get(id(func)) or known:
            raise ShortcutTaken(MESSAGE.format(found))
        return func(*args, **(kwargs or {}))


def emptied(function: Any, name: str) -> list[Callable[[], None]]:
    """Give a Python function a body that raises, whoever holds it; return what undoes that.

    Of a class, the functions that make and run it.
    """
    if isinstance(function, type):
        parts = [vars(function).get(part) for part in ("__init__", "forward")]
        return [undo for part in parts if part is not None for undo in emptied(part, name)]
    function = inspect.unwrap(function) if callable(function) else function
    code = getattr(function, "__code__", None)
    if code is None or code.co_freevars or not hasattr(function, "__defaults__"):
        return []
    space: dict[str, Any] = {}
    body = (
        f"from {__name__} import ShortcutTaken\n    raise ShortcutTaken({MESSAGE.format(name)!r})"
    )
    exec(f"def refuse(*args, **kwargs):\n    {body}", space)
    function.__code__ = space["refuse"].__code__

    def restore() -> None:
        function.__code__ = code

    return [restore]


def borrowed(candidate: Any, exercise: Exercise) -> bool:
    """Whether the candidate is the library's own answer: imported, wrapped or inherited whole.

    >>> from scratchmm.exercises import catalogue
    >>> mask = catalogue.find("attention.padding_mask")
    >>> borrowed(mask.reference, mask), borrowed(partial(mask.reference), mask)
    (True, True)
    """
    while isinstance(candidate, partial):
        candidate = candidate.func
    candidate, library = inspect.unwrap(candidate), inspect.unwrap(exercise.reference)
    if not isinstance(candidate, type) or not isinstance(library, type):
        return candidate is library or _one_code(candidate, library)
    return all(
        _one_code(getattr(candidate, method, None), getattr(library, method))
        for method in exercise.methods
    )


def _one_code(mine: Any, library: Any) -> bool:
    """The same code, or that of a second copy of the library's module: of its file, and its lines."""
    ours, theirs = _code(mine), _code(library)
    if ours is None or theirs is None or ours is theirs:
        return ours is not None and ours is theirs
    return (ours.co_filename, ours.co_firstlineno) == (theirs.co_filename, theirs.co_firstlineno)


def _code(function: Any) -> Any:
    return getattr(inspect.unwrap(function), "__code__", None) if callable(function) else None


def resolve(name: str) -> tuple[Any, str]:
    """The owner and the attribute of a dotted name: a module or a class, and a string.

    >>> resolve("torch.Tensor.unfold")
    (<class 'torch.Tensor'>, 'unfold')
    """
    parts = name.split(".")
    for cut in range(len(parts) - 1, 0, -1):
        try:
            owner: Any = importlib.import_module(".".join(parts[:cut]))
        except ModuleNotFoundError:
            continue
        for part in parts[cut:-1]:
            owner = getattr(owner, part)
        return owner, parts[-1]
    raise ValueError(f"the forbidden name {name!r} can't be found")


def replaced(owner: Any, attribute: str, value: Any) -> Callable[[], None]:
    """Set an attribute; return the function that undoes it."""
    if attribute in vars(owner):
        original = vars(owner)[attribute]
        setattr(owner, attribute, value)
        return lambda: setattr(owner, attribute, original)
    setattr(owner, attribute, value)
    return lambda: delattr(owner, attribute)


def refusing(name: str) -> Callable[..., Any]:
    """A stand-in that raises when it is called."""

    def refuse(*args: Any, **kwargs: Any) -> Any:
        raise ShortcutTaken(MESSAGE.format(name))

    return refuse
