// Compare and match tracks and detections on the CPU: find candidates by geometry, compute the
// affinity and cost of these alone, match.
#pragma once

#include <cstdint>
#include <vector>

#include "candidates.h"
#include "pair.h"

namespace sslmot {

// The features of a set of boxes. Without any (data is null) motion alone decides.
struct FeatureSet {
    const float* data;    // rows of `dim` numbers
    const float* norms;   // norm of each row
    const int64_t* rows;  // the row of each box; null: box i has row i
    int64_t dim;

    int64_t row(int64_t box) const { return rows ? rows[box] : box; }
};

// Tracks and detections to compare and match.
struct Comparison {
    BoxSet tracks, detections;
    FeatureSet track_features, detection_features;
    const float* max_distance;  // (tracks): pairs farther apart never match
    const float* min_affinity;  // (tracks): pairs of a lower affinity never match; null: as params
    PairParams params;
    Candidates* pairs;  // out: the pairs that can match, with their costs
    int32_t* match;     // out: (tracks), the detection of each or -1
    // Not null: `pairs` are given, and all that is asked for are their cosines.
    std::vector<float>* cosines;
};

// Throw std::invalid_argument for a cost that is NaN, std::length_error for more than kMostPairs
// candidates.
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

// Update features of tracks by exponential moving averages, in place, for i in 0..n:
//     table[rows[i]] <- unit(d * table[rows[i]] + (1 - d) * unit(features[columns[i]]))
// with d = delta[i]. If one of the two is unknown (zero), the other is taken alone. Rows of the
// table have unit length (table_norms is 1), or are unknown (table_norms is 0).
void ema_update(float* table, float* table_norms, const int64_t* rows, const float* features,
                const float* norms, const int64_t* columns, const float* delta, int64_t n,
                int64_t dim);

}  // namespace sslmot
