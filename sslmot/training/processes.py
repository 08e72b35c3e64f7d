"""Training on one batch by several processes; torchrun starts one for each GPU."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor


def world() -> int:
    """Return how many processes train together; 1 without a process group."""
    return dist.get_world_size() if _is_distributed() else 1


def rank() -> int:
    """Return the index of this process, from 0."""
    return dist.get_rank() if _is_distributed() else 0


@contextmanager
def process_group(device: torch.device) -> Iterator[None]:
    """Join the processes that torchrun started, if any, until the end of the block.

    Args:
        device: Device of this process; NCCL connects GPUs, Gloo other devices.
    """
    if int(os.environ.get("WORLD_SIZE", 1)) == 1 or _is_distributed():
        yield
        return
    if device.type == "cuda":
        torch.cuda.set_device(device)
    # The first process alone reads sources and computes pseudo-identities, while the others wait.
    dist.init_process_group(
        "nccl" if device.type == "cuda" else "gloo", timeout=timedelta(hours=24)
    )
    try:
        yield
    finally:
        dist.destroy_process_group()


def barrier() -> None:
    """Wait for all processes."""
    if world() > 1:
        dist.barrier()


def broadcast(x: Tensor) -> Tensor:
    """Send the first process's tensor to all; the others pass one of the same shape and dtype."""
    if world() > 1:
        dist.broadcast(x, 0)
    return x


def gather(x: Tensor) -> Tensor:
    """Concatenate the batches of all processes, in the order of their ranks.

    The gradient is that of the sum of the losses of all processes. DistributedDataParallel averages
    the gradients of parameters over processes, which then are those of the mean loss.

    Args:
        x: (n, ...) of any dtype, of the same shape on all processes. All must call.

    Returns:
        (W * n, ...) for W processes; x itself without a process group.

    Raises:
        ValueError: Sizes differ; raised on all processes.
    """
    if not _is_distributed():
        return x
    # With unequal shapes a collective may hang or return anything.
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


def pick_device(device: str | torch.device | None) -> torch.device:
    """Return the device of this process; of several on a machine, each has its own GPU.

    Raises:
        ValueError: There is no such device.
    """
    if device is None:
        device = "cuda" if torch.cuda.is_available() else "cpu"
    try:
        device = torch.device(device)
    except RuntimeError as error:
        raise ValueError(f"device: expected one such as cpu or cuda:1, got {device!r}") from error
    if device.type != "cuda":
        return device
    if not torch.cuda.is_available():
        raise ValueError(f"device: expected cpu, since torch finds no GPU, got {device}")
    return torch.device("cuda", int(os.environ.get("LOCAL_RANK", device.index or 0)))
