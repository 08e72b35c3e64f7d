"""CUDA graphs of a network: all of its kernels launched at once."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

_STEP = 16
"""Above it, batches are padded to a multiple of it; below, to a power of two."""


def padded(n: int) -> int:
    """The size that a batch of ``n`` is padded to."""
    return -(-n // _STEP) * _STEP if n > _STEP else 1 << (n - 1).bit_length()


class GraphedNetwork:
    """Runs a network for inference from one CUDA graph for each of a few batch sizes.

    A small batch is done before the host has launched the kernels of the next layers one by one.
    A graph is captured when a batch first needs it, and rows of zeros fill the batch up. Calls are
    for one thread and one stream at a time: all go through the same memory.

    Args:
        network: (N, ...) float32 -> (N, D), each row by itself; its weights stay where they are.
        shape: Of an input, without N.
        device: A CUDA device.
        most: Largest batch that gets a graph.
    """

    def __init__(
        self, network: nn.Module, shape: tuple[int, ...], device: torch.device, most: int
    ) -> None:
        self._network, self._shape, self._device, self._most = network, shape, device, most
        self._graphs: dict[int, tuple[torch.cuda.CUDAGraph, Tensor, Tensor]] = {}
        self._pool = torch.cuda.graph_pool_handle()

    def __call__(self, x: Tensor) -> Tensor:
        """The network's output, a tensor of the caller's own.

        Args:
            x: (N, ...) float32 on the device.
        """
        if not 0 < len(x) <= self._most:
            output: Tensor = self._network(x)
            return output
        with torch.cuda.device(self._device):
            size = padded(len(x))
            if size not in self._graphs:
                self._graphs[size] = self._capture(size)
            graph, inputs, outputs = self._graphs[size]
            inputs[: len(x)] = x
            inputs[len(x) :] = 0
            graph.replay()
            # The next replay of any of the graphs, which share their memory, writes over it.
            return outputs[: len(x)].clone()

    def _capture(self, size: int) -> tuple[torch.cuda.CUDAGraph, Tensor, Tensor]:
        inputs = torch.zeros((size, *self._shape), device=self._device)
        # Libraries choose algorithms and take workspaces in a first run, which no graph may hold.
        stream: Any = torch.cuda.Stream(self._device)  # type: ignore[no-untyped-call]
        stream.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(stream):
            for _ in range(2):
                self._network(inputs)
        torch.cuda.current_stream().wait_stream(stream)
        graph = torch.cuda.CUDAGraph()
        # Other threads may go on with what a capture forbids to this one.
        with torch.cuda.graph(graph, pool=self._pool, capture_error_mode="thread_local"):
            outputs = self._network(inputs)
        return graph, inputs, outputs
