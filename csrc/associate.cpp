#include "associate.h"

#include <cmath>
#include <vector>

#include "assign.h"
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

std::vector<const float*> row_pointers(const FeatureSet& features, int64_t count) {
    std::vector<const float*> pointers(static_cast<size_t>(count));
    for (int64_t i = 0; i < count; ++i)
        pointers[static_cast<size_t>(i)] = features.data + features.row(i) * features.dim;
    return pointers;
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
    find_candidates(tracks, reach, detections, params, pairs);

    const int64_t t = tracks.count, n = detections.count, dim = track_features.dim;
    const auto cosine_of = [&](float dot, int64_t i, int64_t j) {
        return cosine(dot, track_features.norms[track_features.row(i)],
                      detection_features.norms[detection_features.row(j)]);
    };
    if (!track_features.data) {
        finish_costs(pairs, t, reach, min_affinity, params, [](int64_t, int64_t) { return 1.0F; });
    } else if (4 * static_cast<int64_t>(pairs.columns.size()) <= t * n) {
        finish_costs(pairs, t, reach, min_affinity, params, [&](int64_t i, int64_t j) {
            return cosine_of(dot(track_features.data + track_features.row(i) * dim,
                                 detection_features.data + detection_features.row(j) * dim, dim),
                             i, j);
        });
    } else {
        // Where many of all pairs are candidates, products in blocks win: they read each feature
        // once a block instead of once a pair.
        const auto a = row_pointers(track_features, t), b = row_pointers(detection_features, n);
        thread_local std::vector<float> dots;
        dots.resize(a.size() * b.size());
        dot_block(a.data(), t, b.data(), n, dim, dots.data(), n);
        finish_costs(pairs, t, reach, min_affinity, params, [&](int64_t i, int64_t j) {
            return cosine_of(dots[static_cast<size_t>(i * n + j)], i, j);
        });
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
