"""One batch over all processes of torch.distributed's default group."""

from __future__ import annotations

from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor


def world() -> int:
    """How many processes train together; 1 where no process group is initialised."""
    return dist.get_world_size() if _is_distributed() else 1


def rank() -> int:
    """Which of them this is, from 0."""
    return dist.get_rank() if _is_distributed() else 0


def gather(x: Tensor) -> Tensor:
    """Put the batches of all processes together, in the order of their ranks.

    The gradient is that of the sum of all processes' losses. So where each process has a loss of
    its own and parameters' gradients are averaged over processes, as DistributedDataParallel does,
    they are those of the mean loss.

    Args:
        x: (n, ...) of any dtype, of one shape on all processes. All must call.

    Returns:
        (W * n, ...) with W processes; x itself where no process group is initialised.

    Raises:
        ValueError: On all processes, where sizes differ.
    """
    if not _is_distributed():
        return x
    # A collective on unequal shapes may hang or return anything.
    sizes = torch.stack(_all_gather(torch.tensor([len(x), x.numel()], device=x.device)))
    if (sizes != sizes[0]).any():
        raise ValueError(
            f"x: expected as many rows and numbers on all processes, got {sizes.tolist()}"
        )
    result: Tensor = _Gather.apply(x)  # type: ignore[no-untyped-call]
    return result


class _Gather(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        return torch.cat(_all_gather(x))

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        gradient = gradient.clone(memory_format=torch.contiguous_format)
        dist.all_reduce(gradient)
        return gradient.chunk(world())[rank()]


def _all_gather(x: Tensor) -> list[Tensor]:
    parts = [torch.empty_like(x, memory_format=torch.contiguous_format) for _ in range(world())]
    dist.all_gather(parts, x.contiguous())
    return parts


def _is_distributed() -> bool:
    return dist.is_available() and dist.is_initialized()
