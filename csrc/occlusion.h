// How much of each box is occluded by another.
#pragma once

#include <cstdint>

namespace sslmot {

// share: out, (n), the largest share of box i that one other box covers, among boxes with a lower
// edge at least as low: they are nearer to the camera. Boxes hold no NaN. They are swept from left
// to right, so time grows with the pairs that overlap.
void find_occlusion(const float* boxes, int64_t n, float* share);

}  // namespace sslmot
