"""Whether a tensor's values are available to Python, or torch only traces the operations on it.

A check such as "is this token in the vocabulary?" needs the number itself. While torch.compile and
torch.export trace a model, under the transforms of torch.func (vmap, grad), and on the meta device
there is none: models leave such checks out there, and have no other branch on data.
"""

import torch
from torch import Tensor, nn


def numbers_are_known(x: Tensor) -> bool:
    """Whether the values of x are available to Python, so that wrong ones can be refused.

    >>> numbers_are_known(torch.zeros(2)), numbers_are_known(torch.zeros(2, device="meta"))
    (True, False)
    """
    if torch.compiler.is_compiling() or is_transforming():
        return False
    return not x.is_meta and type(x) in (
        Tensor,
        nn.Parameter,
    )  # no fake tensor, which only has a shape


def left_to_the_gpu(wrong: Tensor, sentence: str) -> bool:
    """Whether the GPU itself asserts that nothing in wrong is True, without a wait for its values.

    Reading a value would wait until the GPU has finished its queue. The assertion stops the program
    later and with fewer words. On other devices False: Python checks, with a full sentence.

    >>> left_to_the_gpu(torch.tensor([True]), "that was wrong")
    False
    """
    if not wrong.is_cuda:
        return False
    torch._assert_async(~wrong.any(), sentence)
    return True


def is_transforming() -> bool:
    """Whether a transform of torch.func is at work, whose tensors have hidden axes.

    >>> is_transforming(), torch.func.vmap(lambda x: x + is_transforming())(torch.zeros(1))
    (False, tensor([1.]))
    """
    return torch._C._functorch.peek_interpreter_stack() is not None


def channels_last(x: Tensor) -> Tensor:
    """x: (B, C, H, W) or (B, C, F, H, W), laid out channels last where that makes CPUs faster.

    The numbers and the shape stay. vmap knows no such layout, and gets x as it is.

    >>> channels_last(torch.zeros(2, 3, 4, 5)).stride()
    (60, 1, 15, 3)
    """
    if x.device.type != "cpu" or is_transforming():
        return x
    last = torch.channels_last if x.ndim == 4 else torch.channels_last_3d
    return x.contiguous(memory_format=last)
