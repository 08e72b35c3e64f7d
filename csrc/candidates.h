// Find the pairs near enough to match, by boxes alone, before any dot product.
#pragma once

#include <cstdint>
#include <limits>
#include <stdexcept>
#include <vector>

#include "pair.h"

namespace sslmot {

// Most candidates of a comparison. A crowd in one place has tracks * detections of them: without a
// limit, neither memory nor time would have a bound.
constexpr int64_t kMostPairs = int64_t{1} << 23;

// Throw std::length_error if there are more than kMostPairs.
void expect_few_pairs(int64_t pairs);

// Sparse pairs by row: those of track i are columns[row_begin[i] .. row_begin[i + 1]).
struct Candidates {
    std::vector<int32_t> row_begin;
    std::vector<int32_t> columns;
    std::vector<float> values;  // distances from find_candidates, costs from associate

    // Drop all pairs, and make room for those of some rows.
    void clear(int64_t rows) {
        const auto count = static_cast<size_t>(rows);
        row_begin.reserve(count + 1), columns.reserve(count), values.reserve(count);
        row_begin.assign(1, 0);
        columns.clear();
        values.clear();
    }
    void end_row() { end_row(columns.size()); }
    void end_row(size_t found) { row_begin.push_back(static_cast<int32_t>(found)); }
};

// A class of no box: those of detections are integers up to 1e9. A track or detection of it matches
// nothing.
constexpr int32_t kNoClass = std::numeric_limits<int32_t>::min();

struct BoxSet {
    const float* boxes;      // (n, 4) xyxy pixels
    const int32_t* classes;  // (n), or null
    int64_t count;
};

// Find the pairs of one class whose distance is at most the track's max_distance. Detections are
// sorted into a grid first, so time grows with the pairs found, not with tracks * detections.
// Throws std::length_error if there are more than kMostPairs.
void find_candidates(const BoxSet& tracks, const float* max_distance, const BoxSet& detections,
                     Candidates& out);

}  // namespace sslmot
