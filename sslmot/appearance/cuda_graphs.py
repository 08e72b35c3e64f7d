"""Run a network from CUDA graphs, which launch all of its kernels at once."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

_STEP = 16
"""Larger batches are padded to a multiple of this, smaller ones to a power of two."""


def padded(n: int) -> int:
    """Return the padded size of a batch of ``n``."""
    return -(-n // _STEP) * _STEP if n > _STEP else 1 << (n - 1).bit_length()


class GraphedNetwork:
    """Runs a network for inference, with one CUDA graph for each padded batch size.

    For a small batch, launching the kernels one by one takes longer than running them. A graph is
    captured when a batch first needs it. Rows of zeros pad the batch. All calls use the same
    memory, so only one thread and one stream may call at a time.

    Args:
        network: Maps (N, ...) float32 to (N, D), row by row. Its weights must stay at the same
            addresses.
        shape: Shape of an input, without N.
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
        """Run the network, and return its output as a new tensor.

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
            # The graphs share memory, so the next replay of any graph overwrites the output.
            return outputs[: len(x)].clone()

    def _capture(self, size: int) -> tuple[torch.cuda.CUDAGraph, Tensor, Tensor]:
        inputs = torch.zeros((size, *self._shape), device=self._device)
        # In a first run, libraries choose algorithms and allocate workspaces. A graph cannot
        # capture that.
        stream: Any = torch.cuda.Stream(self._device)  # type: ignore[no-untyped-call]
        stream.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(stream):
            for _ in range(2):
                self._network(inputs)
        torch.cuda.current_stream().wait_stream(stream)
        graph = torch.cuda.CUDAGraph()
        # Thread-local capture: calls that are forbidden during a capture stay allowed in others.
        with torch.cuda.graph(graph, pool=self._pool, capture_error_mode="thread_local"):
            outputs = self._network(inputs)
        return graph, inputs, outputs
