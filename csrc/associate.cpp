#include "associate.h"

#include <algorithm>
#include <cmath>
#include <vector>

#include "assign.h"
#include "cost.h"
#include "dot.h"
#include "simd.h"

namespace sslmot {

namespace {

// Turns the distances of candidates into costs, in place.
template <class Cosine>
void finish_costs(Candidates& pairs, int64_t tracks, const float* reach, const float* min_affinity,
                  const PairParams& params, const Cosine& cosine_of) {
    for (int64_t i = 0; i < tracks; ++i) {
        const auto row = static_cast<size_t>(i);
        const TrackGate gate = track_gate(reach, min_affinity, i, params);
        for (int32_t e = pairs.row_begin[row]; e < pairs.row_begin[row + 1]; ++e) {
            float& value = pairs.values[static_cast<size_t>(e)];
            value =
                pair_cost(cosine_of(i, pairs.columns[static_cast<size_t>(e)]), value, gate, params);
        }
    }
}

// The costs of all pairs, of which those below the gate (or NaN, which the solver reports) are
// kept.
void compare_all(const BoxSet& tracks, const FeatureSet& track_features, const float* reach,
                 const float* min_affinity, const BoxSet& detections,
                 const FeatureSet& detection_features, const PairParams& params,
                 Candidates& pairs) {
    const int64_t t = tracks.count, n = detections.count, dim = track_features.dim;
    thread_local std::vector<const float*> a, b;  // all keep their memory from frame to frame
    thread_local std::vector<float> track_norms, norms, cost;
    const auto rows_of = [](const FeatureSet& set, int64_t count, auto& rows, auto& lengths) {
        rows.clear(), lengths.clear();
        for (int64_t i = 0; i < count; ++i) {
            rows.push_back(set.data + set.row(i) * set.dim);
            lengths.push_back(set.norms[set.row(i)]);
        }
    };
    rows_of(track_features, t, a, track_norms);
    rows_of(detection_features, n, b, norms);
    cost.resize(a.size() * b.size());
    dot_block(a.data(), t, b.data(), n, dim, cost.data(), n);
    CostProblem q{};
    q.batch = 1, q.tracks = t, q.detections = n, q.dim = dim, q.appearance = true;
    q.track_boxes = tracks.boxes, q.detection_boxes = detections.boxes;
    q.track_classes = tracks.classes, q.detection_classes = detections.classes;
    q.reach = reach, q.min_affinity = min_affinity;
    q.params = params, q.cost = cost.data();
    finish_costs(q, 0, track_norms.data(), norms.data());
    pairs.clear();
    for (int64_t i = 0; i < t; ++i) {
        const float* row = cost.data() + i * n;
        for (int64_t j = 0; j < n; ++j) {
            if (row[j] >= params.gate) continue;
            pairs.columns.push_back(static_cast<int32_t>(j));
            pairs.values.push_back(row[j]);
        }
        pairs.end_row(pairs.columns.size());
    }
}

// old <- keep * old + add * fresh; the sum of its squares.
SSLMOT_SIMD_CLONES
float mix(float* old, float keep, const float* fresh, float add, int64_t dim) {
    float square = 0;
#pragma omp simd reduction(+ : square)
    for (int64_t k = 0; k < dim; ++k) {
        const float mixed = keep * old[k] + add * fresh[k];
        old[k] = mixed;
        square += mixed * mixed;
    }
    return square;
}

SSLMOT_SIMD_CLONES
void scale(float* row, float factor, int64_t dim) {
#pragma omp simd
    for (int64_t k = 0; k < dim; ++k) row[k] *= factor;
}

}  // namespace

void associate(const BoxSet& tracks, const FeatureSet& track_features, const float* reach,
               const float* min_affinity, const BoxSet& detections,
               const FeatureSet& detection_features, const PairParams& params, Candidates& pairs,
               int32_t* match) {
    const int64_t t = tracks.count, n = detections.count, dim = track_features.dim;
    // Where many of all pairs are candidates it is cheaper to compare all: products in blocks read
    // each feature once a block instead of once a pair.
    bool all =
        track_features.data && std::all_of(reach, reach + t, [](float r) { return r == INFINITY; });
    if (!all) {
        find_candidates(tracks, reach, detections, params, pairs);
        all = track_features.data && 4 * static_cast<int64_t>(pairs.columns.size()) > t * n;
    }
    if (all) {
        compare_all(tracks, track_features, reach, min_affinity, detections, detection_features,
                    params, pairs);
    } else if (track_features.data) {
        finish_costs(pairs, t, reach, min_affinity, params, [&](int64_t i, int64_t j) {
            const int64_t row = track_features.row(i), other = detection_features.row(j);
            const float product =
                dot(track_features.data + row * dim, detection_features.data + other * dim, dim);
            return cosine(product, track_features.norms[row], detection_features.norms[other]);
        });
    } else {
        finish_costs(pairs, t, reach, min_affinity, params, [](int64_t, int64_t) { return 1.0F; });
    }
    assign_sparse(pairs.row_begin.data(), pairs.columns.data(), pairs.values.data(), t, n,
                  static_cast<double>(params.gate), match);
}

void blend(float* table, float* table_norms, const int64_t* rows, const float* features,
           const float* norms, const int64_t* columns, const float* delta, int64_t n, int64_t dim) {
    for (int64_t i = 0; i < n; ++i) {
        float* old = table + rows[i] * dim;
        float& old_norm = table_norms[rows[i]];
        const float norm = norms[columns[i]];
        const bool known = !(norm < kSmallestNorm);
        if (!known && old_norm > 0.0F) continue;
        const float keep = old_norm > 0.0F ? delta[i] : 0.0F;
        const float add = known ? (1.0F - keep) / norm : 0.0F;
        const float length = std::sqrt(mix(old, keep, features + columns[i] * dim, add, dim));
        const bool unit = length > kSmallestMix;  // not so: unknown, or two opposite features
        scale(old, unit ? 1.0F / length : 0.0F, dim);
        old_norm = unit ? 1.0F : 0.0F;
    }
}

}  // namespace sslmot
