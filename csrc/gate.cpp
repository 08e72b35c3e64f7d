#include "gate.h"

#include <algorithm>
#include <cmath>
#include <numeric>

namespace sslmot {

namespace {

// Detections in cells, row-major, so that neighbouring cells of one row are one run of memory.
struct Grid {
    float x0 = 0, y0 = 0, per_x = 0, per_y = 0;  // origin; cells per pixel
    int nx = 1, ny = 1;
    std::vector<Box> boxes;      // in the order of their cells
    std::vector<int32_t> order;  // boxes[k] is detection order[k]
    std::vector<int32_t> begin;  // cell -> first k
    std::vector<int32_t> cell_of;

    static int cell(float position, float origin, float per, int n) {
        // Compared as floats: a position far outside must not overflow an int.
        const float c = (position - origin) * per;
        return c < 1.0F ? 0 : c < static_cast<float>(n) ? static_cast<int>(c) : n - 1;
    }

    void build(const BoxSet& set) {
        const auto n = static_cast<size_t>(set.count);
        float x1 = -INFINITY, y1 = -INFINITY;
        x0 = y0 = INFINITY;
        for (size_t j = 0; j < n; ++j) {
            const float* b = set.boxes + 4 * j;
            const float cx = 0.5F * (b[0] + b[2]), cy = 0.5F * (b[1] + b[3]);
            x0 = std::min(x0, cx), x1 = std::max(x1, cx);
            y0 = std::min(y0, cy), y1 = std::max(y1, cy);
        }
        // About one detection a cell: a handful of cells to visit for each track.
        const int side = std::max(1, static_cast<int>(std::sqrt(static_cast<double>(n))));
        nx = ny = side;
        per_x = x1 > x0 ? static_cast<float>(nx) / (x1 - x0) : 0.0F;
        per_y = y1 > y0 ? static_cast<float>(ny) / (y1 - y0) : 0.0F;

        begin.assign(static_cast<size_t>(nx) * static_cast<size_t>(ny) + 1, 0);
        cell_of.resize(n);
        for (size_t j = 0; j < n; ++j) {
            const float* b = set.boxes + 4 * j;
            const int cx = cell(0.5F * (b[0] + b[2]), x0, per_x, nx);
            const int cy = cell(0.5F * (b[1] + b[3]), y0, per_y, ny);
            cell_of[j] = cy * nx + cx;
            ++begin[static_cast<size_t>(cell_of[j]) + 1];
        }
        std::partial_sum(begin.begin(), begin.end(), begin.begin());
        boxes.resize(n);
        order.resize(n);
        for (size_t j = n; j-- > 0;) {  // backwards over counts kept as ends
            const auto k = static_cast<size_t>(--begin[static_cast<size_t>(cell_of[j]) + 1]);
            boxes[k] = make_box(set.boxes + 4 * j);
            order[k] = static_cast<int32_t>(j);
        }
        // Each begin[c + 1] has moved down to where cell c starts.
        begin.erase(begin.begin());
        begin.push_back(static_cast<int32_t>(n));
    }
};

}  // namespace

void find_candidates(const BoxSet& tracks, const float* reach, const BoxSet& detections,
                     const PairParams& params, Candidates& out) {
    out.clear();
    thread_local Grid grid;  // keeps its memory from frame to frame
    if (detections.count > 0) grid.build(detections);
    for (int64_t i = 0; i < tracks.count; ++i) {
        const Box track = make_box(tracks.boxes + 4 * i);
        if (detections.count > 0) {
            // |dx| / w <= 2 reach bounds the rectangle; a little slack covers rounding.
            const float half = 2.0F * reach[i] * 1.0001F;
            const float dx = half * track.w, dy = half * track.h;
            const int c0 = Grid::cell(track.cx - dx, grid.x0, grid.per_x, grid.nx);
            const int c1 = Grid::cell(track.cx + dx, grid.x0, grid.per_x, grid.nx);
            const int r0 = Grid::cell(track.cy - dy, grid.y0, grid.per_y, grid.ny);
            const int r1 = Grid::cell(track.cy + dy, grid.y0, grid.per_y, grid.ny);
            for (int r = r0; r <= r1; ++r) {
                const int32_t first = grid.begin[static_cast<size_t>(r * grid.nx + c0)];
                const int32_t last = grid.begin[static_cast<size_t>(r * grid.nx + c1) + 1];
                for (int32_t k = first; k < last; ++k) {
                    const auto at = static_cast<size_t>(k);
                    const float d = distance(track, grid.boxes[at], params);
                    if (d > reach[i]) continue;
                    const int32_t j = grid.order[at];
                    if (tracks.classes && tracks.classes[i] != detections.classes[j]) continue;
                    out.columns.push_back(j);
                    out.values.push_back(d);
                }
            }
        }
        out.end_row();
    }
}

}  // namespace sslmot
