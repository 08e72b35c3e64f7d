// Dense cost matrices of eq. 6-7, for B independent problems in one call (several cameras).
#pragma once

#include <cstdint>

#include "pair.h"

namespace sslmot {

enum class Element { f32, f16, bf16 };

// Everything contiguous; pointers to host or device memory, all alike. Optional parts are null:
// features on both sides (then motion alone decides), max_distance (then unlimited),
// min_affinity (then that of the settings), classes on both sides.
struct CostProblem {
    int64_t batch, tracks, detections, dim;
    bool appearance;                   // whether there are features; else motion alone decides
    Element element;                   // of the features
    const void* track_features;        // (B, T, D)
    const void* detection_features;    // (B, N, D)
    const float* track_boxes;          // (B, T, 4) xyxy pixels
    const float* detection_boxes;      // (B, N, 4) xyxy pixels
    const float* max_distance;         // (B, T): largest distance at which a track may match
    const float* min_affinity;         // (B, T): lowest affinity at which a track may match
    const int32_t* track_classes;      // (B, T): only pairs of one class may match
    const int32_t* detection_classes;  // (B, N)
    PairParams params;
    float* cost;  // out: (B, T, N)

    // What cost_cuda alone takes, and needs not: where the features of either side are, (B, T) and
    // (B, N) rows of a table that then stands in track_features or detection_features with its own
    // number of rows; and norms of these rows, which are measured otherwise.
    const int64_t* track_rows;
    const int64_t* detection_rows;
    const float* track_norms;
    const float* detection_norms;
};

void cost_cpu(const CostProblem& problem);  // features are float32
// The last step of cost_cpu: turns the dot products of problem b, which stand in `cost`, into
// costs. Norms: (T) and (N), of that problem's features.
void finish_costs(const CostProblem& problem, int64_t b, const float* track_norms,
                  const float* norms);
void cost_cuda(const CostProblem& problem, int device, void* stream);

// How many CUDA devices can be used: 0 without a driver, and in a build without CUDA.
int cuda_device_count();

}  // namespace sslmot
