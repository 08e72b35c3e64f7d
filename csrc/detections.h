// Split and check the detections of a frame.
#pragma once

#include <cstdint>
#include <vector>

namespace sslmot {

// The detections of a frame.
struct Detections {
    std::vector<float> boxes, scores;  // (N, 4) xyxy pixels, (N)
    std::vector<int32_t> classes;      // (N)

    int64_t count() const { return static_cast<int64_t>(scores.size()); }
};

// Limit of detections per frame. With more in one place, pairwise comparison takes seconds.
constexpr int64_t kMostDetections = int64_t{1} << 14;
// Largest absolute value of a coordinate, score or class.
constexpr double kLargestNumber = 1e9;

// rows: (n, width), x1, y1, x2, y2 in pixels[, score[, class]]. Scores are 1 by default, classes 0.
// Returns the first invalid row, or -1: a number is not finite or too large, x2 < x1, y2 < y1, or a
// class is not an integer. `out` is undefined from an invalid row on.
template <class Number>
int64_t read_detections(const Number* rows, int64_t n, int64_t width, Detections& out);

}  // namespace sslmot
