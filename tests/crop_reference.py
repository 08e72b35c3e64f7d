"""Slow float64 oracle of `sslmot.appearance.crops.crop`: its definition, pixel by pixel."""

import numpy as np


def axis_weights(low, high, size):
    """Return weights (size, P) of pixels floor(low) .. ceil(high) - 1, and the first index."""
    first, last = int(np.floor(low)), int(np.ceil(high))
    pixels = np.arange(first, last)
    inside = np.minimum(pixels + 1, high) - np.maximum(pixels, low)
    scale = (high - low) / size
    centres = low + (np.arange(size) + 0.5) * scale
    distance = np.abs(pixels + 0.5 - centres[:, None]) / max(scale, 1.0)
    weights = inside * np.maximum(1.0 - distance, 0.0)
    return weights / weights.sum(1, keepdims=True), first


def crop_reference(frame, boxes, size, mean, std):
    """Frame (H, W, 3) uint8 BGR, boxes (N, 4) xyxy -> (N, 3, h, w) float64, RGB, normalised."""
    mean, std = np.asarray(mean, np.float64), np.asarray(std, np.float64)
    image = (frame[..., ::-1].astype(np.float64) / 255 - mean) / std
    out = np.zeros((len(boxes), 3, *size))
    for i, (x1, y1, x2, y2) in enumerate(np.asarray(boxes, np.float64)):
        if not (x2 - x1 >= 1e-6 and y2 - y1 >= 1e-6):
            continue
        rows, top = axis_weights(y1, y2, size[0])
        columns, left = axis_weights(x1, x2, size[1])
        box = np.zeros((rows.shape[1], columns.shape[1], 3))  # padding is 0
        y, x = np.arange(rows.shape[1]) + top, np.arange(columns.shape[1]) + left
        y_in, x_in = (y >= 0) & (y < frame.shape[0]), (x >= 0) & (x < frame.shape[1])
        box[np.ix_(y_in, x_in)] = image[np.ix_(y[y_in], x[x_in])]
        out[i] = np.einsum("hr,rpc,wp->chw", rows, box, columns, optimize=True)
    return out
