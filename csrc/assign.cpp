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

#include "assign_dense.h"
#include "simd.h"

namespace sslmot {

namespace {

constexpr double kInfinity = std::numeric_limits<double>::infinity();
// Costs below this limit have finite sums over all rows.
constexpr double kLargest = 1e300;

// The cheapest column of a row at the current prices, and the price of the second choice. Leaving
// the row unmatched, at max_cost, is a choice too: then `column` is -1.
struct Bid {
    double best, second;
    int32_t column;
    double cost;
};

// A problem given by candidate pairs.
template <class Cost>
struct SparseRows {
    const int32_t* begin;
    const int32_t* column;
    const Cost* cost;

    Bid bid(int32_t row, const double* price, double max_cost) const {
        Bid bid{max_cost, kInfinity, -1, 0.0};
        for (int32_t e = begin[row]; e < begin[row + 1]; ++e) {
            const auto c = static_cast<double>(cost[e]);
            const double paid = c - price[column[e]];
            if (paid < bid.best)
                bid = {paid, bid.best, column[e], c};
            else if (paid < bid.second)
                bid.second = paid;
        }
        return bid;
    }

    // Call relax(column, cost, distance) for the columns whose distance by way of a row, at `base`,
    // is less than before and less than `nearest`.
    template <class Relax>
    void spread(int32_t row, double base, const double* price, const double* distance,
                double nearest, const Relax& relax) const {
        for (int32_t e = begin[row]; e < begin[row + 1]; ++e) {
            const int32_t j = column[e];
            const auto c = static_cast<double>(cost[e]);
            const double d = base + c - price[j];
            if (d < nearest && d < distance[j]) relax(j, c, d);
        }
    }
};

// Mark the costs below the limit, and NaN.
template <class Cost>
SSLMOT_SIMD_CLONES void mark_below(const Cost* cost, int64_t n, Cost limit, uint8_t* mark) {
#pragma omp simd
    for (int64_t j = 0; j < n; ++j) mark[j] = !(cost[j] >= limit);
}

// Call visit(j) for each mark that is set. Eight unset marks are skipped at once, so `marks` must
// have room for 8 more.
template <class Visit>
void for_each_mark(uint8_t* marks, int64_t n, const Visit& visit) {
    std::fill_n(marks + n, 8, uint8_t{0});
    for (int64_t k = 0; k < n; k += 8) {
        uint64_t eight;
        std::memcpy(&eight, marks + k, 8);
        if (eight == 0) continue;
        for (int64_t j = k; j < k + 8; ++j)
            if (marks[j]) visit(j);
    }
}

// The matching and its dual prices. A column's price is never positive, and zero while it is free.
// Every row may stay unmatched, at a cost of max_cost.
class Matcher {
  public:
    template <class Cost>
    void solve(const SparseRows<Cost>& rows, int64_t n_rows, int64_t n_columns, double max_cost,
               int32_t* match) {
        const auto n = static_cast<size_t>(n_columns);
        max_cost_ = max_cost;
        price_.assign(n, 0.0);
        owner_.assign(n, -1);
        distance_.assign(n, kInfinity);
        entered_by_.resize(n);
        settled_.assign(n, false);
        taken_.assign(static_cast<size_t>(n_rows), {-1, 0.0});
        reduce(rows, static_cast<int32_t>(n_rows));
        for (const int32_t row : waiting_) augment(rows, row);
        for (size_t i = 0; i < taken_.size(); ++i) match[i] = taken_[i].column;
    }

  private:
    struct Taken {
        int32_t column;  // -1: the row is unmatched, for now or for good
        double cost;
    };
    struct Entry {
        int32_t row;
        double cost;
    };

    // Each row bids for its cheapest column: it raises the price until its second choice is as
    // good, and may displace the owner. This is cheap and settles nearly every row. A row without a
    // column after a bounded number of bids waits for a search.
    template <class Cost>
    void reduce(const SparseRows<Cost>& rows, int32_t n_rows) {
        waiting_.clear();
        int64_t bids = 4 * static_cast<int64_t>(n_rows) + 16;
        for (int32_t first = 0; first < n_rows; ++first) {
            for (int32_t row = first; row >= 0;) {
                if (bids-- <= 0) {
                    waiting_.push_back(row);
                    break;
                }
                const Bid bid = rows.bid(row, price_.data(), max_cost_);
                if (bid.column < 0) break;  // unmatched for good: prices only fall
                const auto j = static_cast<size_t>(bid.column);
                const int32_t turned_out = owner_[j];
                if (turned_out >= 0 && !(bid.best < bid.second)) {
                    // A tie for a column that is taken: bidding might not end.
                    waiting_.push_back(row);
                    break;
                }
                price_[j] -= bid.second - bid.best;
                owner_[j] = row;
                taken_[static_cast<size_t>(row)] = {bid.column, bid.cost};
                if (turned_out >= 0) taken_[static_cast<size_t>(turned_out)].column = -1;
                row = turned_out;
            }
        }
    }

    // Search by Dijkstra's algorithm from `source` over reduced costs, for the nearest free column
    // or the row that is cheapest to leave unmatched. Then shift the matches along the path.
    template <class Cost>
    void augment(const SparseRows<Cost>& rows, int32_t source) {
        double nearest = kInfinity;
        int32_t last_row = source, last_column = -1;
        heap_.clear(), touched_.clear();

        const auto scan = [&](int32_t row, double base) {
            if (base + max_cost_ < nearest)
                nearest = base + max_cost_, last_row = row, last_column = -1;
            rows.spread(row, base, price_.data(), distance_.data(), nearest,
                        [&](int32_t j, double cost, double d) {
                            const auto at = static_cast<size_t>(j);
                            // A settled column stays settled: rounding must not make a path a loop.
                            if (!(d < nearest) || settled_[at]) return;
                            if (distance_[at] == kInfinity) touched_.push_back(j);
                            distance_[at] = d;
                            entered_by_[at] = {row, cost};
                            if (owner_[at] < 0) {
                                nearest = d, last_column = j;
                            } else {
                                heap_.emplace_back(d, j);
                                std::push_heap(heap_.begin(), heap_.end(), std::greater<>());
                            }
                        });
        };
        scan(source, 0.0);
        while (!heap_.empty() && heap_.front().first < nearest) {
            const auto [d, j] = heap_.front();
            std::pop_heap(heap_.begin(), heap_.end(), std::greater<>());
            heap_.pop_back();
            const auto at = static_cast<size_t>(j);
            if (settled_[at]) continue;  // an older, longer path
            settled_[at] = true;
            const int32_t row = owner_[at];
            scan(row, d - (taken_[static_cast<size_t>(row)].cost - price_[at]));
        }
        for (const int32_t j : touched_) {
            const auto at = static_cast<size_t>(j);
            if (settled_[at]) price_[at] += distance_[at] - nearest;
            settled_[at] = false;
            distance_[at] = kInfinity;
        }
        flip(source, last_row, last_column);
    }

    // Walk back from the end of the path: each row gives up its column for the next one.
    void flip(int32_t source, int32_t last_row, int32_t last_column) {
        int32_t j = last_column;
        if (j < 0) {  // the path ends at an unmatched row, whose column is free now
            if (last_row == source) return;
            j = std::exchange(taken_[static_cast<size_t>(last_row)].column, -1);
        }
        for (;;) {
            const auto [row, cost] = entered_by_[static_cast<size_t>(j)];
            const Taken given_up = std::exchange(taken_[static_cast<size_t>(row)], {j, cost});
            owner_[static_cast<size_t>(j)] = row;
            if (row == source) return;
            j = given_up.column;
        }
    }

    double max_cost_ = 0;
    std::vector<double> price_;      // of columns
    std::vector<int32_t> owner_;     // column -> row or -1
    std::vector<Taken> taken_;       // row -> column
    std::vector<int32_t> waiting_;   // rows that bids did not settle
    std::vector<double> distance_;   // of columns from the source of a search
    std::vector<Entry> entered_by_;  // column -> the row before on the path
    std::vector<std::pair<double, int32_t>> heap_;
    std::vector<int32_t> touched_;  // columns whose state a search must restore
    std::vector<char> settled_;
};

thread_local Matcher matcher;

// A finite number in place of an infinite max_cost: an unmatched row costs more than any
// rearrangement can save.
template <class Cost>
double finite_limit(double max_cost, const Cost* cost, int64_t pairs, int64_t rows,
                    int64_t columns) {
    if (max_cost < kLargest) return max_cost;
    double largest = 0;
    for (int64_t e = 0; e < pairs; ++e)
        largest = std::max(largest, std::fabs(static_cast<double>(cost[e])));
    return (2.0 * static_cast<double>(std::min(rows, columns)) + 1.0) * largest + 1.0;
}

// Call solve(rows, columns, flipped, match) with the shorter side as rows. The same pairs are
// cheapest either way, and the surplus of a longer side would have to bid down to max_cost.
template <class Solve>
void from_shorter_side(int64_t rows, int64_t columns, int32_t* match, const Solve& solve) {
    if (rows <= columns) return solve(rows, columns, false, match);
    thread_local std::vector<int32_t> row_of;
    row_of.resize(static_cast<size_t>(columns));
    solve(columns, rows, true, row_of.data());
    std::fill_n(match, rows, -1);
    for (size_t j = 0; j < row_of.size(); ++j)
        if (row_of[j] >= 0) match[row_of[j]] = static_cast<int32_t>(j);
}

// Pairs by row. Entries of column and cost from `count` on are spare room.
template <class Cost>
struct Pairs {
    std::vector<int32_t> row_begin, column;
    std::vector<Cost> cost;
    size_t count = 0;

    void clear() {
        row_begin.assign(1, 0);
        count = 0;
    }
    void make_room(int64_t more) {
        const size_t needed = count + static_cast<size_t>(more);
        if (needed > column.size()) column.resize(2 * needed), cost.resize(2 * needed);
    }
    void add(int64_t j, Cost c) {
        column[count] = static_cast<int32_t>(j);
        cost[count++] = c;
    }
    void end_row() {
        if (count > std::numeric_limits<int32_t>::max())
            throw std::length_error("cost: expected fewer than 2^31 pairs below max_cost");
        row_begin.push_back(static_cast<int32_t>(count));
    }
};

template <class Cost>
void solve_sparse(const int32_t* row_begin, const int32_t* column, const Cost* cost, int64_t rows,
                  int64_t columns, double max_cost, int32_t* match) {
    max_cost = finite_limit(max_cost, cost, row_begin[rows], rows, columns);
    from_shorter_side(rows, columns, match, [&](int64_t n, int64_t m, bool flipped, int32_t* out) {
        SparseRows<Cost> problem{row_begin, column, cost};
        thread_local Pairs<Cost> turned;
        if (flipped) {
            turned.row_begin.assign(static_cast<size_t>(columns) + 1, 0);
            const auto pairs = static_cast<size_t>(row_begin[rows]);
            if (pairs > turned.column.size())
                turned.column.resize(pairs), turned.cost.resize(pairs);
            thread_local std::vector<int32_t> next;
            for (int32_t e = 0; e < row_begin[rows]; ++e)
                ++turned.row_begin[static_cast<size_t>(column[e]) + 1];
            std::partial_sum(turned.row_begin.begin(), turned.row_begin.end(),
                             turned.row_begin.begin());
            next = turned.row_begin;
            for (int64_t i = 0; i < rows; ++i) {
                for (int32_t e = row_begin[i]; e < row_begin[i + 1]; ++e) {
                    const auto at = static_cast<size_t>(next[static_cast<size_t>(column[e])]++);
                    turned.column[at] = static_cast<int32_t>(i);
                    turned.cost[at] = cost[e];
                }
            }
            problem = {turned.row_begin.data(), turned.column.data(), turned.cost.data()};
        }
        matcher.solve(problem, n, m, max_cost, out);
    });
}

// For costs that are all below max_cost. No row stays unmatched while a column is free, so max_cost
// decides nothing.
template <class Cost>
void solve_dense(const Cost* cost, int64_t rows, int64_t columns, int32_t* match) {
    from_shorter_side(rows, columns, match, [&](int64_t n, int64_t m, bool flipped, int32_t* out) {
        thread_local std::vector<Cost> turned;
        if (flipped) {
            turned.resize(static_cast<size_t>(rows * columns));
            // By strips: what is written side by side is read soon after.
            constexpr int64_t strip = 16;
            for (int64_t begin = 0; begin < rows; begin += strip)
                for (int64_t j = 0; j < columns; ++j)
                    for (int64_t i = begin; i < std::min(begin + strip, rows); ++i)
                        turned[static_cast<size_t>(j * rows + i)] = cost[i * columns + j];
        }
        match_rows(flipped ? turned.data() : cost, n, m, out);
    });
}

[[noreturn]] void refuse(int64_t row, int64_t column) {
    throw std::invalid_argument("cost: expected numbers above -1e300, got NaN or less in row " +
                                std::to_string(row) + ", column " + std::to_string(column));
}

// Whether all of n costs are below the limit and above -kLargest.
template <class Cost>
SSLMOT_SIMD_CLONES bool all_between(const Cost* cost, int64_t n, Cost limit) {
    int outside = 0;
#pragma omp simd reduction(| : outside)
    for (int64_t j = 0; j < n; ++j)
        outside |= !((cost[j] < limit) & (static_cast<double>(cost[j]) > -kLargest));
    return outside == 0;
}

// The smallest Cost that is not below `max_cost`: comparisons in Cost then equal those in double.
template <class Cost>
Cost round_up(double max_cost) {
    constexpr Cost infinity = std::numeric_limits<Cost>::infinity();
    if (max_cost > static_cast<double>(std::numeric_limits<Cost>::max())) return infinity;
    const auto rounded = static_cast<Cost>(max_cost);
    return static_cast<double>(rounded) < max_cost ? std::nextafter(rounded, infinity) : rounded;
}

template <class Cost>
SSLMOT_SIMD_CLONES Cost largest(const Cost* cost, int64_t n) {
    Cost most = cost[0];
#pragma omp simd reduction(max : most)
    for (int64_t j = 0; j < n; ++j) most = most < cost[j] ? cost[j] : most;
    return most;
}

// Solve from the pairs below `limit`, which is max_cost rounded to a Cost.
template <class Cost>
void solve_below(const Cost* cost, int64_t rows, int64_t columns, Cost limit, double max_cost,
                 int32_t* match) {
    thread_local Pairs<Cost> kept;
    thread_local std::vector<uint8_t> marks;
    kept.clear();
    marks.resize(static_cast<size_t>(columns) + 8);
    for (int64_t i = 0; i < rows; ++i) {
        const Cost* row = cost + i * columns;
        mark_below(row, columns, limit, marks.data());
        kept.make_room(columns);
        for_each_mark(marks.data(), columns, [&](int64_t j) {
            if (!(static_cast<double>(row[j]) > -kLargest)) refuse(i, j);
            kept.add(j, row[j]);
        });
        kept.end_row();
    }
    solve_sparse(kept.row_begin.data(), kept.column.data(), kept.cost.data(), rows, columns,
                 max_cost, match);
}

// Match unmatched rows with unmatched columns.
void fill_up(int64_t rows, int64_t columns, int32_t* match) {
    thread_local std::vector<uint8_t> taken;
    taken.assign(static_cast<size_t>(columns), 0);
    for (int64_t i = 0; i < rows; ++i)
        if (match[i] >= 0) taken[static_cast<size_t>(match[i])] = 1;
    int32_t j = 0;
    for (int64_t i = 0; i < rows; ++i) {
        if (match[i] >= 0) continue;
        while (j < columns && taken[static_cast<size_t>(j)]) ++j;
        if (j == columns) return;
        match[i] = j++;
    }
}

}  // namespace

template <class Cost>
void assign_sparse(const int32_t* row_begin, const int32_t* column, const Cost* cost, int64_t rows,
                   int64_t columns, double max_cost, int32_t* match) {
    const double limit = std::min(max_cost, kLargest);
    bool all_below = true;
    for (int64_t i = 0; i < rows; ++i) {
        for (int32_t e = row_begin[i]; e < row_begin[i + 1]; ++e) {
            const auto c = static_cast<double>(cost[e]);
            if (!(c > -kLargest)) refuse(i, column[e]);
            all_below &= c < limit;
        }
    }
    if (all_below) return solve_sparse(row_begin, column, cost, rows, columns, max_cost, match);

    thread_local Pairs<Cost> kept;
    kept.clear();
    for (int64_t i = 0; i < rows; ++i) {
        kept.make_room(row_begin[i + 1] - row_begin[i]);
        for (int32_t e = row_begin[i]; e < row_begin[i + 1]; ++e)
            if (static_cast<double>(cost[e]) < limit) kept.add(column[e], cost[e]);
        kept.end_row();
    }
    solve_sparse(kept.row_begin.data(), kept.column.data(), kept.cost.data(), rows, columns,
                 max_cost, match);
}

template <class Cost>
void assign_dense(const Cost* cost, int64_t rows, int64_t columns, double max_cost,
                  int32_t* match) {
    if (rows == 0 || columns == 0) {
        std::fill_n(match, rows, -1);
        return;
    }
    const Cost limit = round_up<Cost>(std::min(max_cost, kLargest));
    // The first row is checked alone: it nearly always tells whether there are pairs to leave out.
    const bool all_below = all_between(cost, columns, limit) &&
                           all_between(cost + columns, (rows - 1) * columns, limit);
    if (!all_below) return solve_below(cost, rows, columns, limit, max_cost, match);

    // Where most pairs have one cost and none has more (1 - IoU of boxes that do not touch), that
    // cost serves as max_cost. The rows left unmatched by it take the columns left, at that cost.
    const Cost most = largest(cost, rows * columns);
    if (2 * std::count(cost, cost + columns, most) <= columns)
        return solve_dense(cost, rows, columns, match);
    solve_below(cost, rows, columns, most, static_cast<double>(most), match);
    fill_up(rows, columns, match);
}

template void assign_dense(const float*, int64_t, int64_t, double, int32_t*);
template void assign_dense(const double*, int64_t, int64_t, double, int32_t*);
template void assign_sparse(const int32_t*, const int32_t*, const float*, int64_t, int64_t, double,
                            int32_t*);
template void assign_sparse(const int32_t*, const int32_t*, const double*, int64_t, int64_t, double,
                            int32_t*);

}  // namespace sslmot
