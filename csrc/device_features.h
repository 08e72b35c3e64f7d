// The feature table of a tracker on CUDA, in memory of the caller.
#pragma once

#include <cstdint>
#include <vector>

#include "associate.h"
#include "associate_cuda.h"

namespace sslmot {

struct DeviceFeatures {
    float* values;         // (slots, dim) on the device
    float* norms;          // (slots) on the device
    float* norms_here;     // (slots) in page-locked memory; equal to `norms` after wait_cuda
    float* scratch;        // (rows, dim) on the device, for the features of confirmations
    float* scratch_norms;  // (rows) on the device
    int64_t slots, rows, dim;
    CudaWork work;
};

// Updates of features, see ema_update: slots[i] is updated by row columns[i] of the detections'
// features.
struct FeatureUpdates {
    std::vector<int64_t> slots, columns;
    std::vector<float> shares;  // weights of the old features

    void reserve(size_t n) { slots.reserve(n), columns.reserve(n), shares.reserve(n); }
};

// The most bytes of each buffer of a CudaWork that `updates` updates need.
int64_t cuda_update_bytes(int64_t updates);

// Wait for all work launched before.
void wait_cuda(const CudaWork& work);

// Fill the first rows of the scratch: row k is slot from[k] (-1: unknown) after update k (column
// -1: no update). `features` are those of the detections, on the device. The buffers are free
// afterwards.
void preview_cuda(const DeviceFeatures& table, const std::vector<int64_t>& from,
                  const FeatureUpdates& updates, const FeatureSet& features);

// Make the slots `cleared` unknown, run the updates, and copy the norms to norms_here. Launches and
// does not wait.
void update_cuda(const DeviceFeatures& table, const std::vector<int64_t>& cleared,
                 const FeatureUpdates& updates, const FeatureSet& features);

}  // namespace sslmot
