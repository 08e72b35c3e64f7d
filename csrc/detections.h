// The rows that a step is given, taken apart and checked.
#pragma once

#include <cstdint>

namespace sslmot {

// No coordinate, score or class is larger.
constexpr double kLargestNumber = 1e9;

// rows: (n, width), x1, y1, x2, y2 in pixels[, score[, class]]. Out: boxes (n, 4), scores (n),
// 1 where there are none, and classes (n), 0 where there are none. Returns the first row that is
// refused, -1 for none: a number that is not finite or too large, x2 < x1, y2 < y1, or a class that
// is no integer.
template <class Number>
int64_t read_detections(const Number* rows, int64_t n, int64_t width, float* boxes, float* scores,
                        int32_t* classes);

}  // namespace sslmot
