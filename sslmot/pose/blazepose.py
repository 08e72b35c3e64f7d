"""BlazePose, the pose model of MediaPipe, through ai-edge-litert: about 15 ms a crop and core."""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from sslmot import reading
from sslmot.pose.canvas import MARGIN, Canvas
from sslmot.pose.estimator import MOST_BYTES, MOST_SIDE, fingerprint
from sslmot.pose.joints import Joints, from_blazepose

MOST_INTERPRETERS = 16
"""At most; one for each core, of 40 MB each."""

RECIPE = 1
"""Version of this code, by which joints are cached: raise it when the joints change."""


class BlazePose:
    """A pose landmark model of MediaPipe (lite, full or heavy).

    The model gives the visibility of each landmark, and the probability that the image shows a
    person. The confidence of a joint is the product of both. Without a person no joint is
    confident; with one, some joint is clearly visible, so the largest confidence of the 18 is the
    score of the person. (The model also gives the probability that a landmark lies in the image. It
    is above 0.5 for 99 % of landmarks in crops of people, so it is not used.)

    Args:
        path: The file of the model.

    Attributes:
        fingerprint: Identifies the model and this code.

    Raises:
        FileNotFoundError: There is no such file.
        ImportError: ai-edge-litert is not installed.
        ValueError: It is not such a model.
    """

    def __init__(self, path: str | Path) -> None:
        try:
            from ai_edge_litert.interpreter import Interpreter
        except ImportError as error:
            raise ImportError(
                f"BlazePose needs ai-edge-litert: pip install sslmot[pose] ({error})"
            ) from error
        model = reading.read(path, MOST_BYTES)
        self.fingerprint = fingerprint(model, "blazepose", RECIPE, MARGIN)
        try:
            # An interpreter releases the GIL, and one thread for each is the most efficient.
            self._interpreters = [
                Interpreter(model_content=model, num_threads=1)
                for _ in range(min(os.cpu_count() or 1, MOST_INTERPRETERS))
            ]
            for interpreter in self._interpreters:
                interpreter.allocate_tensors()
        except (ValueError, RuntimeError) as error:
            raise ValueError(f"{path}: expected a BlazePose model, got {error}") from error
        (given, *more), outputs = (
            self._interpreters[0].get_input_details(),
            self._interpreters[0].get_output_details(),
        )
        shape = tuple(int(n) for n in given["shape"])
        places = {tuple(map(int, output["shape"])): output["index"] for output in outputs}
        # 39 landmarks of x, y, z, visibility, presence: 33 of the body and 6 for tracking it.
        right = len(shape) == 4 and all(1 <= side <= MOST_SIDE for side in shape[1:3])
        if more or not right or {(1, 195), (1, 1)} - places.keys():
            raise ValueError(
                f"{path}: expected a BlazePose model (outputs (1, 195), (1, 1)), "
                f"got input {shape}, outputs {', '.join(map(str, places))}"
            )
        self._input, self._size = given["index"], (shape[1], shape[2])
        self._landmarks, self._person = places[1, 195], places[1, 1]

    def __call__(self, crops: npt.NDArray[np.uint8]) -> Joints:
        """Find joints; see `sslmot.pose.estimator.PoseEstimator`."""
        shares = np.array_split(crops, len(self._interpreters))
        with ThreadPoolExecutor(len(self._interpreters)) as pool:
            return np.concatenate(list(pool.map(self._run, self._interpreters, shares)))

    def _run(self, interpreter: Any, crops: npt.NDArray[np.uint8]) -> Joints:
        canvas = Canvas((crops.shape[1], crops.shape[2]), self._size)
        points = np.empty((len(crops), 33, 3), np.float32)
        for crop, row in zip(crops, points, strict=True):
            image = canvas.draw(crop) / np.float32(255)
            interpreter.set_tensor(self._input, image[None])
            interpreter.invoke()
            landmarks = interpreter.get_tensor(self._landmarks).reshape(39, 5)[:33]
            row[:, :2] = landmarks[:, :2]  # pixels of the input
            visible = 1 / (1 + np.exp(-landmarks[:, 3].clip(-60, 60)))  # a logit
            row[:, 2] = visible * interpreter.get_tensor(self._person).item()  # a probability
        return from_blazepose(canvas.to_shares(points))
