// Dense cost matrices (SSL-MOT, eq. 6-7) of B independent problems, such as B cameras.
#pragma once

#include <cstdint>

#include "pair.h"

namespace sslmot {

enum class Element { f32, f16, bf16 };

// Arrays are contiguous, and all in host memory or all on one device. Null stands for: no features
// on either side (motion alone decides), no distance limit, min_affinity of `params`, no classes on
// either side.
struct CostProblem {
    int64_t batch, tracks, detections, dim;
    bool appearance;                   // false: motion alone decides
    Element element;                   // of the features
    const void* track_features;        // (B, T, D)
    const void* detection_features;    // (B, N, D)
    const float* track_boxes;          // (B, T, 4) xyxy pixels
    const float* detection_boxes;      // (B, N, 4) xyxy pixels
    const float* max_distance;         // (B, T): pairs farther apart never match
    const float* min_affinity;         // (B, T): pairs of a lower affinity never match
    const int32_t* track_classes;      // (B, T): pairs of two classes never match
    const int32_t* detection_classes;  // (B, N)
    PairParams params;
    float* cost;  // out: (B, T, N)

    // For cost_cuda alone, optional. With track_rows, (B, T), track_features is a table (S, D) and
    // the feature of a track is the row of that number; detection_rows, (B, N), likewise. Norms of
    // the rows are computed where they are not given.
    const int64_t* track_rows;
    const int64_t* detection_rows;
    const float* track_norms;
    const float* detection_norms;
};

void cost_cpu(const CostProblem& problem);  // features are float32
// The last step of cost_cpu: turn the dot products of problem b, which are in `cost`, into costs.
// Norms: (T) and (N), of the features of that problem.
void finish_costs(const CostProblem& problem, int64_t b, const float* track_norms,
                  const float* norms);
void cost_cuda(const CostProblem& problem, int device, void* stream);

// Number of CUDA devices: 0 without a driver, and in a build without CUDA.
int cuda_device_count();

}  // namespace sslmot
