// Cut boxes out of a frame, resized to one size and normalised. The weights of resampling are
// written once, here, for host and device.
#pragma once

#include <cmath>
#include <cstdint>

#include "host_device.h"

namespace sslmot {

// A frame to read: (height, width, 3) uint8, pixels contiguous, rows `row_stride` bytes apart.
struct CropFrame {
    const uint8_t* data;
    int64_t height, width;
    int64_t row_stride;
};

// Size and normalisation of crops: (value / 255 - mean) / std.
struct CropFormat {
    int64_t height, width;  // pixels, at least 1
    float mean[3], std[3];  // in 0..1, in the channel order of the output; std > 0
    bool bgr_to_rgb;        // reverse the channels
};

// Cut boxes out of a frame and resize them: bilinear, with antialiasing.
//   boxes: (n, 4) float32, xyxy pixels
//   out:   (n, 3, height, width) float32, contiguous
//
// Boxes are continuous: pixel i covers [i, i + 1), and a pixel cut by an edge of the box counts by
// its part inside. A box of whole pixels gives frame[y1:y2, x1:x2] as torch's
// interpolate(mode="bilinear", antialias=True) resizes it: no pixel outside the box is read. Pixels
// outside the frame have the mean colour, which is 0 in the output; so has a box without area
// (thinner than 1e-6 pixels, inverted, or not finite).
void crop_cpu(const CropFrame& frame, const float* boxes, int64_t n, CropFormat format, float* out);

// The same in device memory: one launch on `stream` (a cudaStream_t), no allocation, no
// synchronisation. Throws std::runtime_error if the launch fails, and in a build without CUDA.
void crop_cuda(const CropFrame& frame, const float* boxes, int64_t n, CropFormat format, float* out,
               int device, void* stream);

// One output coordinate along one axis: the pixels it reads and their weights.
struct CropTaps {
    int64_t first = 0, count = 0;      // a range of pixels of the frame
    float centre = 0, inv_radius = 0;  // of the triangle, in pixels from `first`
    // Part of a pixel inside the box, over the sum of all weights: first pixel, inner ones, last.
    float head = 0, middle = 0, tail = 0;

    // The weight of pixel first + k. The weights sum to 1; if a box reaches out of the frame, what
    // they lack of 1 is the weight of the padding.
    SSLMOT_HOST_DEVICE float operator[](int64_t k) const {
        const float part = k == 0 ? head : k == count - 1 ? tail : middle;
        const float triangle = 1.0F - std::fabs(static_cast<float>(k) + 0.5F - centre) * inv_radius;
        return triangle > 0.0F ? part * triangle : 0.0F;
    }
};

// The taps of output coordinate `index`, if [low, high) of an axis of `length` pixels is resized to
// `size`: a triangle that falls to 0 at a distance of one output pixel (at least one input pixel),
// clipped to the box and normalised.
SSLMOT_HOST_DEVICE inline CropTaps crop_taps(float low, float high, int64_t index, int64_t size,
                                             int64_t length) {
    CropTaps taps;
    // In double, for exact positions in boxes of any size. This runs once per coordinate, the float
    // arithmetic above once per tap.
    const double lo = low, hi = high;
    if (!(hi - lo >= 1e-6 && hi - lo < 1e39)) return taps;  // false for NaN and infinities too
    const double scale = (hi - lo) / static_cast<double>(size);
    const double centre = lo + (static_cast<double>(index) + 0.5) * scale;
    const double radius = std::fmax(scale, 1.0);

    // Pixels [begin, end) touch the box and have their centres under the triangle; of them,
    // [first, last) are in the frame.
    const double begin = std::fmax(std::floor(lo), std::floor(centre - radius + 0.5));
    const double end = std::fmin(std::ceil(hi), std::ceil(centre + radius - 0.5));
    const double edge = static_cast<double>(length);
    const double first = std::fmin(std::fmax(begin, 0.0), edge);
    const double last = std::fmin(std::fmax(end, first), edge);
    taps.first = static_cast<int64_t>(first);
    taps.count = static_cast<int64_t>(last - first);
    if (taps.count == 0) return taps;

    // The sum of all weights: the two slopes of the triangle, less what the box cuts off the first
    // and the last pixel. In closed form, as a box may reach out of the frame by any number of
    // pixels.
    const double peak = std::fmin(std::fmax(std::floor(centre + 0.5), begin), end);
    const double total =
        (peak - begin) * (1.0 - (centre - 0.5 * (begin + peak)) / radius) +
        (end - peak) * (1.0 - (0.5 * (peak + end) - centre) / radius) -
        std::fmax(lo - begin, 0.0) * (1.0 - std::fabs(begin + 0.5 - centre) / radius) -
        std::fmax(end - hi, 0.0) * (1.0 - std::fabs(end - 0.5 - centre) / radius);

    taps.centre = static_cast<float>(centre - first);
    taps.inv_radius = static_cast<float>(1.0 / radius);
    taps.middle = static_cast<float>(1.0 / total);
    taps.head = static_cast<float>((std::fmin(first + 1.0, hi) - std::fmax(first, lo)) / total);
    taps.tail = static_cast<float>((std::fmin(last, hi) - std::fmax(last - 1.0, lo)) / total);
    return taps;
}

// Channel c of an output pixel from a weighted sum of bytes; `inside` is the sum of the weights.
SSLMOT_HOST_DEVICE inline float normalise(const CropFormat& format, float sum, float inside,
                                          int c) {
    return (sum - 255.0F * format.mean[c] * inside) / (255.0F * format.std[c]);
}

}  // namespace sslmot
