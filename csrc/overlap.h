// How much boxes overlap others (intersection over union).
#pragma once

#include <cstdint>

#include "candidates.h"

namespace sslmot {

// overlap: out, (boxes), the largest IoU of each box with one of the others of its class, 0 if it
// touches none. other: out, (boxes), the first of the others with this IoU, -1 for none. Boxes are
// sorted into a grid: memory grows with the boxes, time with the pairs near each other.
void find_overlaps(const BoxSet& boxes, const BoxSet& others, float* overlap, int32_t* other);

}  // namespace sslmot
