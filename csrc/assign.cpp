#include "assign.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <functional>
#include <limits>
#include <numeric>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include "simd.h"

namespace sslmot {

namespace {

constexpr double kInfinity = std::numeric_limits<double>::infinity();

// The matching and its dual prices. A column's price is never positive, and zero while it is free;
// a row may always be left out, at the cost of the gate.
template <class Cost>
class Matcher {
  public:
    void solve(const int32_t* row_begin, const int32_t* column, const Cost* cost, int64_t rows,
               int64_t columns, double gate, int32_t* match) {
        begin_ = row_begin, column_ = column, cost_ = cost, gate_ = gate;
        const auto n = static_cast<size_t>(columns);
        price_.assign(n, 0.0);
        owner_.assign(n, -1);
        distance_.assign(n, kInfinity);
        entered_by_.resize(n);
        settled_.assign(n, false);
        edge_.assign(static_cast<size_t>(rows), -1);
        reduce(rows);
        for (const int32_t row : waiting_) augment(row);
        for (int64_t i = 0; i < rows; ++i) {
            const int32_t e = edge_[static_cast<size_t>(i)];
            match[i] = e < 0 ? -1 : column_[e];
        }
    }

  private:
    static constexpr int32_t kLeftOut = -1;

    // Rows bid for their cheapest column, raising its price until their second choice is as good,
    // and may turn out its owner: cheap, and it settles nearly every row. Rows still without a
    // column after a bounded number of bids wait for a search.
    void reduce(int64_t rows) {
        waiting_.clear();
        int64_t bids = 4 * rows + 16;
        for (int32_t first = 0; first < static_cast<int32_t>(rows); ++first) {
            for (int32_t row = first; row >= 0;) {
                if (bids-- <= 0) {
                    waiting_.push_back(row);
                    break;
                }
                double best = gate_, second = kInfinity;
                int32_t choice = kLeftOut;
                for (int32_t e = begin_[row]; e < begin_[row + 1]; ++e) {
                    const double c = static_cast<double>(cost_[e]) - price(column_[e]);
                    if (c < best) {
                        second = best, best = c, choice = e;
                    } else if (c < second) {
                        second = c;
                    }
                }
                if (choice == kLeftOut) break;  // left out: settled, as prices only fall
                const auto j = static_cast<size_t>(column_[choice]);
                const int32_t turned_out = owner_[j];
                if (turned_out >= 0 && !(best < second)) {
                    // A tie for a column that is taken: bidding could go on for ever.
                    waiting_.push_back(row);
                    break;
                }
                price_[j] -= second - best;
                owner_[j] = row;
                edge_[static_cast<size_t>(row)] = choice;
                if (turned_out >= 0) edge_[static_cast<size_t>(turned_out)] = kLeftOut;
                row = turned_out;
            }
        }
    }

    // Dijkstra from `source` over reduced costs, to the nearest free column or to the row that is
    // best left out; then the pairs along the path change places.
    void augment(int32_t source) {
        double nearest = kInfinity;
        int32_t last_row = source, last_column = -1;
        heap_.clear(), touched_.clear();

        const auto scan = [&](int32_t row, double base) {
            if (base + gate_ < nearest) nearest = base + gate_, last_row = row, last_column = -1;
            for (int32_t e = begin_[row]; e < begin_[row + 1]; ++e) {
                const int32_t j = column_[e];
                const auto at = static_cast<size_t>(j);
                const double d = base + static_cast<double>(cost_[e]) - price_[at];
                // A settled column stays so: rounding must not bend a path back onto itself.
                if (!(d < nearest && d < distance_[at]) || settled_[at]) continue;
                if (distance_[at] == kInfinity) touched_.push_back(j);
                distance_[at] = d;
                entered_by_[at] = {row, e};
                if (owner_[at] < 0) {
                    nearest = d, last_column = j;
                } else {
                    heap_.emplace_back(d, j);
                    std::push_heap(heap_.begin(), heap_.end(), std::greater<>());
                }
            }
        };
        scan(source, 0.0);
        while (!heap_.empty() && heap_.front().first < nearest) {
            const auto [d, j] = heap_.front();
            std::pop_heap(heap_.begin(), heap_.end(), std::greater<>());
            heap_.pop_back();
            const auto at = static_cast<size_t>(j);
            if (settled_[at]) continue;  // an older, longer way to it
            settled_[at] = true;
            const int32_t row = owner_[at];
            scan(row, d - (static_cast<double>(cost_[edge_of(row)]) - price_[at]));
        }
        for (const int32_t j : touched_) {
            const auto at = static_cast<size_t>(j);
            if (settled_[at]) price_[at] += distance_[at] - nearest;
            settled_[at] = false;
            distance_[at] = kInfinity;
        }
        flip(source, last_row, last_column);
    }

    // Walks back from the end of the path: each row gives up its column and takes the one after.
    void flip(int32_t source, int32_t last_row, int32_t last_column) {
        int32_t j = last_column;
        if (j < 0) {  // the path ends at a row that is left out: its column is passed on
            if (last_row == source) return;
            j = column_[edge_of(last_row)];
            edge_[static_cast<size_t>(last_row)] = kLeftOut;
        }
        for (;;) {
            const auto [row, e] = entered_by_[static_cast<size_t>(j)];
            const int32_t given_up = edge_of(row);
            edge_[static_cast<size_t>(row)] = e;
            owner_[static_cast<size_t>(j)] = row;
            if (row == source) return;
            j = column_[given_up];
        }
    }

    double price(int32_t column) const { return price_[static_cast<size_t>(column)]; }
    int32_t edge_of(int32_t row) const { return edge_[static_cast<size_t>(row)]; }

    const int32_t* begin_ = nullptr;
    const int32_t* column_ = nullptr;
    const Cost* cost_ = nullptr;
    double gate_ = 0;
    std::vector<double> price_;     // of columns
    std::vector<int32_t> owner_;    // column -> row or -1
    std::vector<int32_t> edge_;     // row -> its pair or kLeftOut
    std::vector<int32_t> waiting_;  // rows for which no bid was decisive
    std::vector<double> distance_;  // of columns from the source of a search
    std::vector<std::pair<int32_t, int32_t>>
        entered_by_;  // column -> (row, pair) on the path to it
    std::vector<std::pair<double, int32_t>> heap_;
    std::vector<int32_t> touched_;  // columns whose state a search has to put back
    std::vector<char> settled_;
};

// Pairs by row.
template <class Cost>
struct Pairs {
    std::vector<int32_t> row_begin, column;
    std::vector<Cost> cost;

    void clear() {
        row_begin.assign(1, 0);
        column.clear();
        cost.clear();
    }
    void add(int64_t j, Cost c) {
        column.push_back(static_cast<int32_t>(j));
        cost.push_back(c);
    }
    void end_row() {
        if (column.size() > std::numeric_limits<int32_t>::max())
            throw std::length_error("cost: expected fewer than 2^31 pairs below the gate");
        row_begin.push_back(static_cast<int32_t>(column.size()));
    }
};

template <class Cost>
void solve(const int32_t* row_begin, const int32_t* column, const Cost* cost, int64_t rows,
           int64_t columns, double gate, int32_t* match) {
    thread_local Matcher<Cost> matcher;
    if (gate == kInfinity) {
        // Leaving a row out must cost more than any rearrangement could save.
        double largest = 0;
        for (int32_t e = 0; e < row_begin[rows]; ++e)
            largest = std::max(largest, std::fabs(static_cast<double>(cost[e])));
        gate = (2.0 * static_cast<double>(std::min(rows, columns)) + 1.0) * largest + 1.0;
    }
    if (rows <= columns) return matcher.solve(row_begin, column, cost, rows, columns, gate, match);

    // The longer side's surplus would all have to be bid down to the gate. From the shorter side
    // the same pairs are cheapest.
    thread_local Pairs<Cost> flipped;
    thread_local std::vector<int32_t> next, row_of;
    flipped.row_begin.assign(static_cast<size_t>(columns) + 1, 0);
    flipped.column.resize(static_cast<size_t>(row_begin[rows]));
    flipped.cost.resize(flipped.column.size());
    for (int32_t e = 0; e < row_begin[rows]; ++e)
        ++flipped.row_begin[static_cast<size_t>(column[e]) + 1];
    std::partial_sum(flipped.row_begin.begin(), flipped.row_begin.end(), flipped.row_begin.begin());
    next = flipped.row_begin;
    for (int64_t i = 0; i < rows; ++i) {
        for (int32_t e = row_begin[i]; e < row_begin[i + 1]; ++e) {
            const auto at = static_cast<size_t>(next[static_cast<size_t>(column[e])]++);
            flipped.column[at] = static_cast<int32_t>(i);
            flipped.cost[at] = cost[e];
        }
    }
    row_of.resize(static_cast<size_t>(columns));
    matcher.solve(flipped.row_begin.data(), flipped.column.data(), flipped.cost.data(), columns,
                  rows, gate, row_of.data());
    std::fill_n(match, rows, -1);
    for (int64_t j = 0; j < columns; ++j) {
        const int32_t i = row_of[static_cast<size_t>(j)];
        if (i >= 0) match[i] = static_cast<int32_t>(j);
    }
}

[[noreturn]] void refuse(int64_t row, int64_t column) {
    throw std::invalid_argument("cost: expected numbers above -inf, got NaN or -inf in row " +
                                std::to_string(row) + ", column " + std::to_string(column));
}

// Marks the costs that need a look: below the limit, or NaN (which compares as neither).
template <class Cost>
SSLMOT_SIMD_CLONES void mark_below(const Cost* cost, int64_t n, Cost limit, uint8_t* mark) {
#pragma omp simd
    for (int64_t i = 0; i < n; ++i) mark[i] = !(cost[i] >= limit);
}

// Smallest Cost that is not below `gate`, so that comparing in Cost decides as in double.
template <class Cost>
Cost round_up(double gate) {
    const auto rounded = static_cast<Cost>(gate);
    return static_cast<double>(rounded) < gate
               ? std::nextafter(rounded, std::numeric_limits<Cost>::infinity())
               : rounded;
}

}  // namespace

template <class Cost>
void assign_sparse(const int32_t* row_begin, const int32_t* column, const Cost* cost, int64_t rows,
                   int64_t columns, double gate, int32_t* match) {
    bool all_below = true;
    for (int64_t i = 0; i < rows; ++i) {
        for (int32_t e = row_begin[i]; e < row_begin[i + 1]; ++e) {
            const auto c = static_cast<double>(cost[e]);
            if (!(c > -kInfinity)) refuse(i, column[e]);
            all_below &= c < gate;
        }
    }
    if (all_below) return solve(row_begin, column, cost, rows, columns, gate, match);

    thread_local Pairs<Cost> kept;
    kept.clear();
    for (int64_t i = 0; i < rows; ++i) {
        for (int32_t e = row_begin[i]; e < row_begin[i + 1]; ++e)
            if (static_cast<double>(cost[e]) < gate) kept.add(column[e], cost[e]);
        kept.end_row();
    }
    solve(kept.row_begin.data(), kept.column.data(), kept.cost.data(), rows, columns, gate, match);
}

template <class Cost>
void assign_dense(const Cost* cost, int64_t rows, int64_t columns, double gate, int32_t* match) {
    thread_local Pairs<Cost> kept;
    kept.clear();
    const Cost limit = round_up<Cost>(gate);
    // Nearly all pairs of a crowd cost the gate: eight marks are passed over at a time.
    constexpr int64_t block = 1024;
    uint8_t marks[block + 8] = {};
    for (int64_t i = 0; i < rows; ++i) {
        const Cost* row = cost + i * columns;
        for (int64_t from = 0; from < columns; from += block) {
            const int64_t n = std::min(block, columns - from);
            mark_below(row + from, n, limit, marks);
            std::fill_n(marks + n, 8, uint8_t{0});
            for (int64_t k = 0; k < n; k += 8) {
                uint64_t eight;
                std::memcpy(&eight, marks + k, 8);
                if (eight == 0) continue;
                for (int64_t j = from + k; j < std::min(from + k + 8, columns); ++j) {
                    if (row[j] >= limit) continue;
                    if (!(row[j] > -std::numeric_limits<Cost>::infinity())) refuse(i, j);
                    kept.add(j, row[j]);
                }
            }
        }
        kept.end_row();
    }
    solve(kept.row_begin.data(), kept.column.data(), kept.cost.data(), rows, columns, gate, match);
}

template void assign_dense(const float*, int64_t, int64_t, double, int32_t*);
template void assign_dense(const double*, int64_t, int64_t, double, int32_t*);
template void assign_sparse(const int32_t*, const int32_t*, const float*, int64_t, int64_t, double,
                            int32_t*);
template void assign_sparse(const int32_t*, const int32_t*, const double*, int64_t, int64_t, double,
                            int32_t*);

}  // namespace sslmot
