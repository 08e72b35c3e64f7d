#include "overlap.h"

#include <algorithm>

#include "grid.h"

namespace sslmot {

namespace {

struct Corners {
    float x1, y1, x2, y2;

    explicit Corners(const float* xyxy = nullptr)
        : x1(xyxy ? xyxy[0] : 0),
          y1(xyxy ? xyxy[1] : 0),
          x2(xyxy ? xyxy[2] : 0),
          y2(xyxy ? xyxy[3] : 0) {}
    Point point() const { return {x1, y1}; }
};

// Operations in the order of `iou` in sslmot/assignment.py, for the same bits.
float iou(const Corners& a, const Corners& b) {
    const float w = std::min(a.x2, b.x2) - std::max(a.x1, b.x1);
    const float h = std::min(a.y2, b.y2) - std::max(a.y1, b.y1);
    if (!(w > 0.0F && h > 0.0F)) return 0.0F;
    const float shared = w * h;
    const float area_a = (a.x2 - a.x1) * (a.y2 - a.y1);
    const float area_b = (b.x2 - b.x1) * (b.y2 - b.y1);
    const float sum = area_a + area_b;
    const float both = sum - shared;
    return both > 0.0F ? shared / both : 0.0F;
}

}  // namespace

void find_overlaps(const BoxSet& boxes, const BoxSet& others, float* overlap, int32_t* other) {
    thread_local Grid<Corners> grid;  // keeps its memory for the next frame
    float widest = 0, highest = 0;
    grid.build(others.count, [&](int64_t j) {
        const Corners corners(others.boxes + 4 * j);
        widest = std::max(widest, corners.x2 - corners.x1);
        highest = std::max(highest, corners.y2 - corners.y1);
        return corners;
    });
    // A box that begins farther left ends before this one begins; the factor covers rounding.
    widest *= 1.0001F, highest *= 1.0001F;
    for (int64_t i = 0; i < boxes.count; ++i) {
        const Corners box(boxes.boxes + 4 * i);
        overlap[i] = 0.0F, other[i] = -1;
        const Point low{box.x1 - widest, box.y1 - highest}, high{box.x2, box.y2};
        grid.search(low, high, [&](size_t first, size_t last) {
            for (size_t k = first; k < last; ++k) {
                const int32_t j = grid.order[k];
                if (boxes.classes && boxes.classes[i] != others.classes[j]) continue;
                const float share = iou(box, grid.sorted[k]);
                if (share > overlap[i] || (share == overlap[i] && j < other[i]))
                    overlap[i] = share, other[i] = j;
            }
        });
    }
}

}  // namespace sslmot
