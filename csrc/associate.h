// One frame on the CPU: candidates by geometry -> affinity and cost of those alone -> matching.
#pragma once

#include <cstdint>

#include "candidates.h"
#include "pair.h"

namespace sslmot {

// The appearance of a set of boxes, or nothing (data is null): then motion alone decides.
struct FeatureSet {
    const float* data;    // rows of `dim` numbers
    const float* norms;   // of each row
    const int64_t* rows;  // the row of each box; null: box i has row i
    int64_t dim;

    int64_t row(int64_t box) const { return rows ? rows[box] : box; }
};

// Tracks and detections that are to be matched.
struct Comparison {
    BoxSet tracks, detections;
    FeatureSet track_features, detection_features;
    const float* max_distance;  // (tracks): largest distance at which each may match
    const float* min_affinity;  // (tracks): lowest affinity at which it may; null: as the settings
    PairParams params;
    Candidates* pairs;  // out: the candidates and what they cost
    int32_t* match;     // out: (tracks), the detection of each or -1
};

// Throws std::invalid_argument where a cost is NaN, std::length_error where more than kMostPairs
// are near enough.
void associate(const Comparison& comparison);

// The parts of associate that follow the search for candidates.

// Turn the distances of the candidates into costs, and keep the pairs that can match.
// cosine_of(i, e) is the cosine of track i and the e-th candidate, called once for each e in order.
template <class Cosine>
void cost_pairs(const Comparison& c, const Cosine& cosine_of) {
    Candidates& pairs = *c.pairs;
    size_t begin = 0, kept = 0;
    for (int64_t i = 0; i < c.tracks.count; ++i) {
        const TrackLimits limits = track_limits(c.max_distance, c.min_affinity, i, c.params);
        const auto end = static_cast<size_t>(pairs.row_begin[static_cast<size_t>(i) + 1]);
        for (size_t e = begin; e < end; ++e) {
            float& value = pairs.values[e];
            value = pair_cost(cosine_of(i, e), value, limits, c.params);
        }
        for (size_t e = begin; e < end; ++e) {
            pairs.columns[kept] = pairs.columns[e], pairs.values[kept] = pairs.values[e];
            kept += can_match(pairs.values[e], c.params);
        }
        pairs.row_begin[static_cast<size_t>(i) + 1] = static_cast<int32_t>(kept);
        begin = end;
    }
    pairs.columns.resize(kept), pairs.values.resize(kept);
}

// The same from the costs of all pairs: (tracks, detections).
void keep_pairs(const Comparison& comparison, const float* cost);

// Match by the costs of the pairs.
void match_pairs(const Comparison& comparison);

// The update of matched tracks' features, in place, for i in 0..n:
//     table[rows[i]] <- unit(d * table[rows[i]] + (1 - d) * unit(features[columns[i]]))
// with d = delta[i]. Where one of the two is unknown (zero) the other stands alone; d = 0 stores a
// first feature.
// Rows of the table are of unit length or zero, and `table_norms` says which: 1 or 0.
void ema_update(float* table, float* table_norms, const int64_t* rows, const float* features,
                const float* norms, const int64_t* columns, const float* delta, int64_t n,
                int64_t dim);

}  // namespace sslmot
