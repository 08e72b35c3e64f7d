// One frame on the CPU: candidates by geometry -> affinity and cost of those alone -> matching.
#pragma once

#include <cstdint>

#include "gate.h"
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

// reach: (tracks), the largest distance at which each may match; min_affinity: (tracks), the lowest
// affinity, or null. match: out, the detection of each track or -1; pairs: out, the candidates and
// what they cost. Throws std::invalid_argument where a cost is NaN.
void associate(const BoxSet& tracks, const FeatureSet& track_features, const float* reach,
               const float* min_affinity, const BoxSet& detections,
               const FeatureSet& detection_features, const PairParams& params, Candidates& pairs,
               int32_t* match);

// The update of matched tracks' features, in place, for i in 0..n:
//     table[rows[i]] <- unit(d * table[rows[i]] + (1 - d) * unit(features[columns[i]]))
// with d = delta[i]. Where one of the two is unknown (zero) the other stands alone; d = 0 stores a
// first feature.
// Rows of the table are of unit length or zero, and `table_norms` says which: 1 or 0.
void blend(float* table, float* table_norms, const int64_t* rows, const float* features,
           const float* norms, const int64_t* columns, const float* delta, int64_t n, int64_t dim);

}  // namespace sslmot
