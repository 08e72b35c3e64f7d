// Which pairs are near enough to match, from boxes alone: found before any dot product.
#pragma once

#include <cstdint>
#include <stdexcept>
#include <vector>

#include "pair.h"

namespace sslmot {

// Pairs of one comparison. All that are near are kept at once, and those of a crowd in one place
// are as many as tracks times detections: more would take memory, and seconds, without bound.
constexpr int64_t kMostPairs = int64_t{1} << 23;

// Throws std::length_error where there are more.
void expect_few_pairs(int64_t pairs);

// Candidate pairs, row by row: those of track i are columns[row_begin[i] .. row_begin[i + 1]).
struct Candidates {
    std::vector<int32_t> row_begin;
    std::vector<int32_t> columns;
    std::vector<float> values;  // their distances here, their costs later

    void clear() {
        row_begin.assign(1, 0);
        columns.clear();
        values.clear();
    }
    void end_row() { end_row(columns.size()); }
    void end_row(size_t found) { row_begin.push_back(static_cast<int32_t>(found)); }
};

struct BoxSet {
    const float* boxes;      // (n, 4) xyxy pixels
    const int32_t* classes;  // (n), or null
    int64_t count;
};

// Pairs of one class whose distance is at most the track's max_distance. Cost grows with the pairs
// that are near, not with tracks x detections: detections are sorted into a grid first. Throws
// std::length_error where there are more than kMostPairs.
void find_candidates(const BoxSet& tracks, const float* max_distance, const BoxSet& detections,
                     const PairParams& params, Candidates& out);

}  // namespace sslmot
