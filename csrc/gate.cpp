#include "gate.h"

#include <algorithm>
#include <cmath>
#include <numeric>

namespace sslmot {

namespace {

// Cells along one axis.
struct Axis {
    float origin = 0, cells_per_pixel = 0;
    int cells = 1;

    void fit(float low, float high, int wanted) {
        const float extent = high - low;
        const bool divisible = extent > 0.0F && std::isfinite(extent);
        origin = low;
        cells = divisible ? wanted : 1;
        cells_per_pixel = divisible ? static_cast<float>(wanted) / extent : 0.0F;
    }
    // The cell of a position, rounding outwards what is no number. Compared as floats: what is far
    // outside must not overflow an int.
    int first(float position) const {
        const float c = (position - origin) * cells_per_pixel;
        return c >= 1.0F ? static_cast<int>(std::min(c, static_cast<float>(cells - 1))) : 0;
    }
    int last(float position) const {
        const float c = (position - origin) * cells_per_pixel;
        return c < static_cast<float>(cells - 1) ? static_cast<int>(std::max(c, 0.0F)) : cells - 1;
    }
};

// Detections by cell, row-major: neighbouring cells of one row are one run of memory.
struct Grid {
    Axis x, y;
    std::vector<Box> sorted;     // in the order of their cells
    std::vector<int32_t> order;  // sorted[k] is detection order[k]
    std::vector<int32_t> begin;  // cell -> its first k
    std::vector<Box> boxes;
    std::vector<int32_t> cell_of, next;

    void build(const BoxSet& set) {
        const auto n = static_cast<size_t>(set.count);
        boxes.resize(n);
        float x0 = INFINITY, x1 = -INFINITY, y0 = INFINITY, y1 = -INFINITY;
        bool finite = true;
        for (size_t j = 0; j < n; ++j) {
            const Box& box = boxes[j] = make_box(set.boxes + 4 * j);
            x0 = std::min(x0, box.cx), x1 = std::max(x1, box.cx);
            y0 = std::min(y0, box.cy), y1 = std::max(y1, box.cy);
            finite &= std::isfinite(box.cx) && std::isfinite(box.cy);
        }
        // About one detection a cell; all in one where a centre is no number.
        const int side = finite ? static_cast<int>(std::sqrt(static_cast<double>(n))) : 1;
        x.fit(x0, x1, std::max(side, 1));
        y.fit(y0, y1, std::max(side, 1));

        begin.assign(static_cast<size_t>(x.cells) * static_cast<size_t>(y.cells) + 1, 0);
        cell_of.resize(n);
        for (size_t j = 0; j < n; ++j) {
            cell_of[j] = y.first(boxes[j].cy) * x.cells + x.first(boxes[j].cx);
            ++begin[static_cast<size_t>(cell_of[j]) + 1];
        }
        std::partial_sum(begin.begin(), begin.end(), begin.begin());
        next = begin;
        sorted.resize(n);
        order.resize(n);
        for (size_t j = 0; j < n; ++j) {
            const auto k = static_cast<size_t>(next[static_cast<size_t>(cell_of[j])]++);
            sorted[k] = boxes[j];
            order[k] = static_cast<int32_t>(j);
        }
    }
};

}  // namespace

void find_candidates(const BoxSet& tracks, const float* reach, const BoxSet& detections,
                     const PairParams& params, Candidates& out) {
    out.clear();
    thread_local Grid grid;  // keeps its memory from frame to frame
    grid.build(detections);
    size_t found = 0;
    for (int64_t i = 0; i < tracks.count; ++i) {
        const Box track = make_box(tracks.boxes + 4 * i);
        // |dx| / w <= 2 reach bounds the rectangle; a little slack covers rounding.
        float half = 2.0F * reach[i] * 1.0001F;
        // A box that is no number is everybody's candidate: its cost reports it.
        if (!std::isfinite(track.cx) || !std::isfinite(track.cy)) half = NAN;
        const float dx = half * track.w, dy = half * track.h;
        const int left = grid.x.first(track.cx - dx), right = grid.x.last(track.cx + dx);
        const int top = grid.y.first(track.cy - dy), bottom = grid.y.last(track.cy + dy);
        for (int row = top; row <= bottom; ++row) {
            const auto cells = static_cast<size_t>(row * grid.x.cells);
            const int32_t first = grid.begin[cells + static_cast<size_t>(left)];
            const int32_t last = grid.begin[cells + static_cast<size_t>(right) + 1];
            // All are written, and kept by moving on: which are near is a coin toss, and a branch
            // would be guessed wrong half the time.
            const size_t most = found + static_cast<size_t>(last - first);
            if (most > out.columns.size())
                out.columns.resize(2 * most), out.values.resize(2 * most);
            for (int32_t k = first; k < last; ++k) {
                const auto at = static_cast<size_t>(k);
                const float d = distance(track, grid.sorted[at], params);
                const int32_t j = grid.order[at];
                out.columns[found] = j;
                out.values[found] = d;
                const bool same = !tracks.classes || tracks.classes[i] == detections.classes[j];
                found += static_cast<size_t>(!(d > reach[i]) & same);
            }
        }
        out.end_row(found);
    }
    out.columns.resize(found);
    out.values.resize(found);
}

}  // namespace sslmot
