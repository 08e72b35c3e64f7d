// Split and check the detections of a frame.
#pragma once

#include <cstdint>

namespace sslmot {

// Largest absolute value of a coordinate, score or class.
constexpr double kLargestNumber = 1e9;

// rows: (n, width), x1, y1, x2, y2 in pixels[, score[, class]]. Out: boxes (n, 4), scores (n), by
// default 1, and classes (n), by default 0. Returns the first invalid row, or -1: a number is not
// finite or too large, x2 < x1, y2 < y1, or a class is not an integer.
template <class Number>
int64_t read_detections(const Number* rows, int64_t n, int64_t width, float* boxes, float* scores,
                        int32_t* classes);

}  // namespace sslmot
