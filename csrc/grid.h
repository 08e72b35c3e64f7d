// Points of a plane, sorted into cells: a search in a rectangle reads only the cells it touches.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <numeric>
#include <vector>

namespace sslmot {

struct Point {
    float x, y;
};

// Cells along one axis.
struct GridAxis {
    float origin = 0, end = 0, cells_per_pixel = 0;
    int cells = 1;

    void fit(float low, float high, int wanted) {
        const float extent = high - low;
        const bool divisible = extent > 0.0F && std::isfinite(extent);
        origin = low, end = high;
        cells = divisible ? wanted : 1;
        cells_per_pixel = divisible ? static_cast<float>(wanted) / extent : 0.0F;
    }
    // Whether an interval holds no point for certain.
    bool outside(float low, float high) const { return high < origin || low > end; }
    // The cell of a position; a NaN is rounded outwards. Comparisons are between floats: a position
    // far outside must not overflow an int.
    int first(float position) const {
        const float c = (position - origin) * cells_per_pixel;
        return c >= 1.0F ? static_cast<int>(std::min(c, static_cast<float>(cells - 1))) : 0;
    }
    int last(float position) const {
        const float c = (position - origin) * cells_per_pixel;
        return c < static_cast<float>(cells - 1) ? static_cast<int>(std::max(c, 0.0F)) : cells - 1;
    }
};

// Items sorted by the cell of their point(), row-major: neighbouring cells of a row are contiguous.
// Memory is kept for the next build.
template <class Item>
struct Grid {
    GridAxis x, y;
    std::vector<Item> sorted;    // in the order of their cells
    std::vector<int32_t> order;  // sorted[k] is item order[k]
    std::vector<int32_t> begin;  // cell -> its first k
    std::vector<Item> items;
    std::vector<int32_t> cell_of, next;

    // make(j) is item j of n.
    template <class Make>
    void build(int64_t count, const Make& make) {
        const auto n = static_cast<size_t>(count);
        items.resize(n);
        float x0 = INFINITY, x1 = -INFINITY, y0 = INFINITY, y1 = -INFINITY;
        bool finite = true;
        for (size_t j = 0; j < n; ++j) {
            const Item& item = items[j] = make(static_cast<int64_t>(j));
            const Point at = item.point();
            x0 = std::min(x0, at.x), x1 = std::max(x1, at.x);
            y0 = std::min(y0, at.y), y1 = std::max(y1, at.y);
            finite &= std::isfinite(at.x) && std::isfinite(at.y);
        }
        if (!finite) x0 = y0 = -INFINITY, x1 = y1 = INFINITY;
        // About one item per cell; all in one cell if a point is NaN.
        const int side = finite ? static_cast<int>(std::sqrt(static_cast<double>(n))) : 1;
        x.fit(x0, x1, std::max(side, 1));
        y.fit(y0, y1, std::max(side, 1));

        begin.assign(static_cast<size_t>(x.cells) * static_cast<size_t>(y.cells) + 1, 0);
        cell_of.resize(n);
        for (size_t j = 0; j < n; ++j) {
            const Point at = items[j].point();
            cell_of[j] = y.first(at.y) * x.cells + x.first(at.x);
            ++begin[static_cast<size_t>(cell_of[j]) + 1];
        }
        std::partial_sum(begin.begin(), begin.end(), begin.begin());
        next = begin;
        sorted.resize(n);
        order.resize(n);
        for (size_t j = 0; j < n; ++j) {
            const auto k = static_cast<size_t>(next[static_cast<size_t>(cell_of[j])]++);
            sorted[k] = items[j];
            order[k] = static_cast<int32_t>(j);
        }
    }

    // Call run(first, last) for the ranges of `sorted` that hold all points of a rectangle, and
    // some near it. A side that is NaN is no bound.
    template <class Run>
    void search(Point low, Point high, const Run& run) const {
        if (x.outside(low.x, high.x) || y.outside(low.y, high.y)) return;
        const int left = x.first(low.x), right = x.last(high.x);
        const int top = y.first(low.y), bottom = y.last(high.y);
        for (int row = top; row <= bottom; ++row) {
            const auto cells = static_cast<size_t>(row * x.cells);
            const int32_t first = begin[cells + static_cast<size_t>(left)];
            const int32_t last = begin[cells + static_cast<size_t>(right) + 1];
            run(static_cast<size_t>(first), static_cast<size_t>(last));
        }
    }
};

}  // namespace sslmot
