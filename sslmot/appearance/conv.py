"""A convolution that is right for maps of any size in bfloat16, on any processor."""

from __future__ import annotations

import torch
from torch import Tensor, nn


class Conv2d(nn.Conv2d):
    """`torch.nn.Conv2d` for maps of any width.

    On processors with AMX, torch 2.13 computes a result of a single column wrongly, or its
    gradients, if the stride is 2 and the numbers are bfloat16. Such a result is computed with a
    second column, which is dropped: what is added on the right does not change the first.
    """

    def forward(self, x: Tensor) -> Tensor:
        """Convolve: (N, C, H, W) -> (N, C', H', W')."""
        if torch.jit.is_tracing():  # type: ignore[attr-defined,no-untyped-call]  # for a file, in float32
            return super().forward(x)
        size, stride, padding = self.kernel_size[1], self.stride[1], int(self.padding[1])
        columns = (x.shape[3] + 2 * padding - size) // stride + 1
        if size == 1 or stride == 1 or columns > 1:
            return super().forward(x)
        return super().forward(nn.functional.pad(x, (0, stride)))[..., :1]
