#include "assign_dense.h"

#include <algorithm>
#include <limits>
#include <vector>

#include "simd.h"

namespace sslmot {

namespace {

constexpr double kInfinity = std::numeric_limits<double>::infinity();

// A row is read in interleaved parts, which the compiler makes one vector; each keeps its own
// minimum. A condition that decides two values is written as a mask: g++ would make a branch, and
// mispredicted branches would cost more than the rest.
constexpr int64_t kLanes = 8;

int64_t mask(bool condition) { return -static_cast<int64_t>(condition); }

// The cheapest column of a row at the current prices, and the price of the second choice.
struct Bid {
    double best, second;
    int64_t column;
};

template <class Cost>
SSLMOT_SIMD_CLONES Bid two_cheapest(const Cost* cost, const double* price, int64_t n) {
    double best[kLanes], second[kLanes];
    int64_t at[kLanes];
    for (int64_t l = 0; l < kLanes; ++l) best[l] = second[l] = kInfinity, at[l] = 0;
    const int64_t whole = n - n % kLanes;
    for (int64_t j = 0; j < whole; j += kLanes) {
#pragma omp simd
        for (int64_t l = 0; l < kLanes; ++l) {
            const double paid = static_cast<double>(cost[j + l]) - price[j + l];
            const double loser = best[l] < paid ? paid : best[l];
            second[l] = loser < second[l] ? loser : second[l];
            at[l] ^= (at[l] ^ (j + l)) & mask(paid < best[l]);
            best[l] = paid < best[l] ? paid : best[l];
        }
    }
    for (int64_t half = kLanes / 2; half > 0; half /= 2) {
        for (int64_t l = 0; l < half; ++l) {
            const double loser = std::max(best[l], best[l + half]);
            second[l] = std::min(loser, std::min(second[l], second[l + half]));
            at[l] ^= (at[l] ^ at[l + half]) & mask(best[l + half] < best[l]);
            best[l] = std::min(best[l], best[l + half]);
        }
    }
    Bid bid{best[0], second[0], at[0]};
    for (int64_t j = whole; j < n; ++j) {
        const double paid = static_cast<double>(cost[j]) - price[j];
        bid.second = std::min(bid.second, std::max(bid.best, paid));
        bid.column ^= (bid.column ^ j) & mask(paid < bid.best);
        bid.best = std::min(bid.best, paid);
    }
    return bid;
}

struct Nearest {
    double distance;
    int64_t column;
};

// Shorten the distances of columns by paths through a row at `base`, and find the nearest column;
// of equally near ones, a free one (without an owner) if possible. Settled columns have the price
// minus infinity: their distance stays infinite.
template <class Cost>
SSLMOT_SIMD_CLONES Nearest shorten(const Cost* cost, const double* price, const int64_t* owner,
                                   double base, int64_t n, double* distance) {
    double best[kLanes];
    int64_t at[kLanes];
    for (int64_t l = 0; l < kLanes; ++l) best[l] = kInfinity, at[l] = 0;
    const int64_t whole = n - n % kLanes;
    for (int64_t j = 0; j < whole; j += kLanes) {
#pragma omp simd
        for (int64_t l = 0; l < kLanes; ++l) {
            const double through = base + static_cast<double>(cost[j + l]) - price[j + l];
            const double d = through < distance[j + l] ? through : distance[j + l];
            distance[j + l] = d;
            const int64_t nearer =
                mask(d < best[l]) | (mask(d == best[l]) & mask(owner[j + l] < 0));
            at[l] ^= (at[l] ^ (j + l)) & nearer;
            best[l] = d < best[l] ? d : best[l];
        }
    }
    Nearest nearest{best[0], at[0]};
    const auto consider = [&](double d, int64_t j) {
        if (d < nearest.distance ||
            (d == nearest.distance && owner[j] < 0 && owner[nearest.column] >= 0))
            nearest = {d, j};
    };
    for (int64_t l = 1; l < kLanes; ++l) consider(best[l], at[l]);
    for (int64_t j = whole; j < n; ++j) {
        const double through = base + static_cast<double>(cost[j]) - price[j];
        distance[j] = through < distance[j] ? through : distance[j];
        consider(distance[j], j);
    }
    return nearest;
}

// Lower prices to the costs of a row, and note the columns in which that row is the cheapest.
template <class Cost>
SSLMOT_SIMD_CLONES void lower(const Cost* cost, int64_t row, int64_t n, double* price,
                              int64_t* cheapest) {
#pragma omp simd
    for (int64_t j = 0; j < n; ++j) {
        const auto c = static_cast<double>(cost[j]);
        cheapest[j] ^= (cheapest[j] ^ row) & mask(c < price[j]);
        price[j] = c < price[j] ? c : price[j];
    }
}

// The matching and its dual prices. In a matrix with more columns than rows a price is never
// positive, and zero while its column is free.
template <class Cost>
class RowMatcher {
  public:
    void solve(const Cost* cost, int64_t rows, int64_t columns, int32_t* match) {
        cost_ = cost, columns_ = columns;
        const auto n = static_cast<size_t>(columns);
        price_.assign(n, rows == columns ? kInfinity : 0.0);
        owner_.assign(n, -1);
        distance_.assign(n, kInfinity);
        column_.assign(static_cast<size_t>(rows), -1);
        if (rows == columns) take_cheapest_rows();
        bid();
        for (int64_t i = 0; i < rows; ++i)
            if (column(i) < 0) augment(i);
        std::transform(column_.begin(), column_.end(), match,
                       [](int64_t j) { return static_cast<int32_t>(j); });
    }

  private:
    const Cost* row(int64_t i) const { return cost_ + i * columns_; }
    int64_t& owner(int64_t j) { return owner_[static_cast<size_t>(j)]; }
    double& price(int64_t j) { return price_[static_cast<size_t>(j)]; }
    int64_t& column(int64_t i) { return column_[static_cast<size_t>(i)]; }

    // The first price of a column is its lowest cost; the row of that cost takes the column if it
    // has none. That needs a square matrix: no column stays free there, so prices have no bound.
    void take_cheapest_rows() {
        cheapest_.resize(price_.size());
        const auto n = static_cast<int64_t>(column_.size());
        for (int64_t i = 0; i < n; ++i) lower(row(i), i, n, price_.data(), cheapest_.data());
        for (int64_t j = 0; j < n; ++j) {
            const int64_t i = cheapest_[static_cast<size_t>(j)];
            if (column(i) < 0) column(i) = j, owner(j) = i;
        }
    }

    // Each row bids for its cheapest column: it lowers the price until its second choice is as
    // good, and may displace the owner. Rows without a column after as many bids as there are rows
    // are left to a search, and so is a row that meets a tie for a taken column: bidding might not
    // end.
    void bid() {
        const auto rows = static_cast<int64_t>(column_.size());
        int64_t bids = rows;
        for (int64_t first = 0; first < rows; ++first) {
            int64_t i = column(first) < 0 ? first : -1;
            while (i >= 0 && bids-- > 0) {
                const auto [best, second, j] = two_cheapest(row(i), price_.data(), columns_);
                const int64_t turned_out = owner(j);
                if (turned_out >= 0 && !(best < second)) break;
                if (second < kInfinity) price(j) -= second - best;  // but for the only column
                owner(j) = i, column(i) = j;
                if (turned_out >= 0) column(turned_out) = -1;
                i = turned_out;
            }
        }
    }

    // Search by Dijkstra's algorithm from row `source` over reduced costs for the nearest free
    // column. Then shift the matches along the path.
    void augment(int64_t source) {
        path_.clear();
        int64_t i = source;
        double base = 0;
        for (;;) {
            const auto [nearest, j] =
                shorten(row(i), price_.data(), owner_.data(), base, columns_, distance_.data());
            path_.push_back({i, base, j, nearest, price(j)});
            if (owner(j) < 0) break;
            i = owner(j);
            base = nearest - (static_cast<double>(row(i)[j]) - price(j));
            price(j) = -kInfinity;
            distance_[static_cast<size_t>(j)] = kInfinity;
        }
        // Walk back from the end. Each column was reached from the first of the visited rows that
        // gives exactly its distance: to compute these sums again is cheaper than to store the row
        // of every column at every step.
        for (size_t last = path_.size();;) {
            const Step end = path_[last - 1];
            size_t k = 0;
            while (k + 1 < last &&  // the last row, if no other does
                   path_[k].base + static_cast<double>(row(path_[k].row)[end.column]) - end.price !=
                       end.distance)
                ++k;
            owner(end.column) = path_[k].row;
            column(path_[k].row) = end.column;
            if (k == 0) break;
            last = k;
        }
        const double nearest = path_.back().distance;
        for (const Step& step : path_) price(step.column) = step.price + (step.distance - nearest);
        std::fill(distance_.begin(), distance_.end(), kInfinity);
    }

    struct Step {
        int64_t row;      // visited
        double base;      // the distance it adds to a reduced cost
        int64_t column;   // settled after it: the nearest
        double distance;  // of it
        double price;     // of it, before
    };

    const Cost* cost_ = nullptr;
    int64_t columns_ = 0;
    std::vector<double> price_;      // of columns
    std::vector<double> distance_;   // of columns from the source of a search
    std::vector<int64_t> owner_;     // column -> row or -1
    std::vector<int64_t> column_;    // row -> column or -1
    std::vector<int64_t> cheapest_;  // column -> its cheapest row
    std::vector<Step> path_;
};

}  // namespace

template <class Cost>
void match_rows(const Cost* cost, int64_t rows, int64_t columns, int32_t* match) {
    thread_local RowMatcher<Cost> matcher;
    if (rows > 0) matcher.solve(cost, rows, columns, match);
}

template void match_rows(const float*, int64_t, int64_t, int32_t*);
template void match_rows(const double*, int64_t, int64_t, int32_t*);

}  // namespace sslmot
