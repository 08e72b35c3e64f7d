// Dense cost matrices of eq. 6-7, for B independent problems in one call (several cameras).
#pragma once

#include <cstdint>

#include "pair.h"

namespace sslmot {

enum class Element { f32, f16, bf16 };

// Everything contiguous; pointers to host or device memory, all alike. Optional parts are null:
// features on both sides (then motion alone decides), reach (then unlimited), classes on both
// sides.
struct CostProblem {
    int64_t batch, tracks, detections, dim;
    Element element;                   // of the features
    const void* track_features;        // (B, T, D)
    const void* detection_features;    // (B, N, D)
    const float* track_boxes;          // (B, T, 4) xyxy pixels
    const float* detection_boxes;      // (B, N, 4) xyxy pixels
    const float* reach;                // (B, T): largest distance at which a track may match
    const int32_t* track_classes;      // (B, T): only pairs of one class may match
    const int32_t* detection_classes;  // (B, N)
    PairParams params;
    float* cost;  // out: (B, T, N)
};

void cost_cpu(const CostProblem& problem);  // features are float32
void cost_cuda(const CostProblem& problem, int device, void* stream);

// How many CUDA devices can be used: 0 without a driver, and in a build without CUDA.
int cuda_device_count();

// Euclidean norms of n rows of d numbers. Returns the first row that holds a NaN or an infinity or
// is longer than kLargestNorm, -1 where all are well.
int64_t row_norms(const float* features, int64_t n, int64_t d, float* norms);

// Dot products of one block of rows with another: out[i * out_stride + j] = a_i . b_j.
// Rows are given by pointer, so that a table with holes needs no copy.
void dot_block(const float* const* a, int64_t n_a, const float* const* b, int64_t n_b, int64_t dim,
               float* out, int64_t out_stride);

float dot(const float* a, const float* b, int64_t dim);

}  // namespace sslmot
