"""How the paper's tracker depends on the constants that the paper leaves open."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from functools import partial

import cv2
import numpy as np

from sslmot.data.mot import Sequence
from sslmot.study.scores import paper_tracker, tracked
from sslmot.tracking.config import TrackerConfig
from sslmot.tuning.footage import Footage
from sslmot.types import Frame

RATIOS: Mapping[str, tuple[float, ...]] = {
    "tau": (0.125, 0.25, 0.5, 1.0, 2.0, 4.0, 8.0),
    "min_affinity": (0.0, 0.25, 0.5, 1.0, 1.5, 2.0, 2.5),
    "max_age": (0.1, 0.25, 0.5, 1.0, 2.0, 4.0, 8.0),
}
"""Factors by which each constant differs from the rule's."""

SYMBOLS = {"tau": "tau", "min_affinity": "rho_1", "max_age": "rho_2"}
"""The names of the constants in the paper."""

_WIDTH, _HEIGHT = 460, 300  # pixels of a panel
_LEFT, _RIGHT, _TOP, _BOTTOM = 44, 16, 60, 34
_LINES = ((180, 90, 20), (30, 120, 220), (70, 150, 60), (150, 60, 150))  # BGR


def sensitivity(clip: Footage, sequence: Sequence) -> dict[str, dict[float, float]]:
    """Vary each constant alone, the others by the rule of `paper_tracker`.

    The rule sets rho_1 as an affinity, which depends on tau. When tau varies, rho_1 stays at the
    same cosine, so that only the form of the cost changes.

    Args:
        clip: A clip with embeddings.
        sequence: Its sequence, with ground truth.

    Returns:
        Constant -> value -> IDF1 in percent.
    """
    rule = paper_tracker(clip)
    found: dict[str, dict[float, float]] = {}
    for name, ratios in RATIOS.items():
        for ratio in ratios:
            value = getattr(rule, name) * ratio
            config = replace(rule, **{name: value})
            if name == "tau":
                config = replace(config, min_affinity=float(np.exp(-1 / ratio)))
            score = tracked([clip], [sequence], partial(_fixed, config)).idf1
            found.setdefault(name, {})[value] = score
    return found


def _fixed(config: TrackerConfig, _: Footage) -> TrackerConfig:
    return config


def table(found: Mapping[str, Mapping[str, Mapping[float, float]]]) -> str:
    """Write the scores of several clips as Markdown.

    Args:
        found: Clip -> what `sensitivity` returned.
    """
    lines = []
    for name, symbol in SYMBOLS.items():
        factors = " | ".join(f"x {ratio:g}" for ratio in RATIOS[name])
        lines += [f"| {symbol} | {factors} |", "| --- " * (1 + len(RATIOS[name])) + "|"]
        for clip, constants in found.items():
            cells = [f"{score:.1f} ({value:.3g})" for value, score in constants[name].items()]
            lines.append(f"| {clip} | " + " | ".join(cells) + " |")
        lines.append("")
    return "\n".join(lines)


def draw(found: Mapping[str, Mapping[str, Mapping[float, float]]]) -> Frame:
    """Draw IDF1 over the factor of each constant, a panel a constant, a line a clip.

    Args:
        found: Clip -> what `sensitivity` returned.

    Returns:
        (H, W, 3) uint8, BGR.
    """
    scores = [s for clip in found.values() for values in clip.values() for s in values.values()]
    low, high = np.floor(min(scores) / 10) * 10, np.ceil(max(scores) / 10) * 10
    high = max(high, low + 10)
    panels = []
    for name, symbol in SYMBOLS.items():
        panel = np.full((_HEIGHT, _WIDTH, 3), 255, np.uint8)
        count = len(RATIOS[name])
        across = np.linspace(_LEFT, _WIDTH - _RIGHT, count)
        for score in np.arange(low, high + 1, 10):
            y = _height(score, low, high)
            cv2.line(panel, (_LEFT, y), (_WIDTH - _RIGHT, y), (225, 225, 225), 1)
            _write(panel, f"{score:g}", (8, y + 4))
        for x, ratio in zip(across, RATIOS[name], strict=True):
            _write(panel, f"{ratio:g}", (int(x) - 10, _HEIGHT - 14))
        _write(panel, f"IDF1 by {symbol}, as a multiple of the rule's", (_LEFT, 22))
        for i, (clip, constants) in enumerate(found.items()):
            ys = [_height(score, low, high) for score in constants[name].values()]
            line = np.stack([across, ys], axis=1).round().astype(np.int32)
            colour = _LINES[i % len(_LINES)]
            cv2.polylines(panel, [line], False, colour, 2, cv2.LINE_AA)
            _write(panel, clip, (_LEFT + 8, 44 + 18 * i), colour)
        panels.append(panel)
    return np.concatenate(panels, axis=1)


def _height(score: float, low: float, high: float) -> int:
    share = (score - low) / (high - low)
    return round(_HEIGHT - _BOTTOM - share * (_HEIGHT - _BOTTOM - _TOP))


def _write(
    panel: Frame, text: str, at: tuple[int, int], colour: tuple[int, int, int] = (60, 60, 60)
) -> None:
    cv2.putText(panel, text, at, cv2.FONT_HERSHEY_SIMPLEX, 0.45, colour, 1, cv2.LINE_AA)
