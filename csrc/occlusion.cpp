#include "occlusion.h"

#include <algorithm>
#include <numeric>
#include <vector>

namespace sslmot {

namespace {

float area(const float* box) { return (box[2] - box[0]) * (box[3] - box[1]); }

// The share of a box that another covers, 0 if the other is farther away.
float covered(const float* box, const float* other) {
    const float w = std::min(box[2], other[2]) - std::max(box[0], other[0]);
    const float h = std::min(box[3], other[3]) - std::max(box[1], other[1]);
    return w > 0.0F && h > 0.0F && other[3] >= box[3] ? w * h / area(box) : 0.0F;
}

}  // namespace

void find_occlusion(const float* boxes, int64_t n, float* share) {
    thread_local std::vector<const float*> sorted;  // keeps its memory for the next frame
    sorted.resize(static_cast<size_t>(n));
    for (int64_t i = 0; i < n; ++i) sorted[static_cast<size_t>(i)] = boxes + 4 * i;
    std::sort(sorted.begin(), sorted.end(),
              [](const float* a, const float* b) { return a[0] != b[0] ? a[0] < b[0] : a < b; });
    std::fill(share, share + n, 0.0F);
    for (size_t a = 0; a < sorted.size(); ++a)
        for (size_t b = a + 1; b < sorted.size() && sorted[b][0] < sorted[a][2]; ++b) {
            float& left = share[(sorted[a] - boxes) / 4];
            float& right = share[(sorted[b] - boxes) / 4];
            if (left >= 1.0F && right >= 1.0F)
                continue;  // soon true for all boxes in a pile of equal ones
            left = std::max(left, covered(sorted[a], sorted[b]));
            right = std::max(right, covered(sorted[b], sorted[a]));
        }
}

}  // namespace sslmot
