// The feature table of a tracker on CUDA, as far as a step works on it. All memory is passed in.
#pragma once

#include <cstdint>
#include <vector>

#include "associate.h"
#include "associate_cuda.h"

namespace sslmot {

struct DeviceFeatures {
    float* values;         // (slots, dim) on the device
    float* norms;          // (slots) on the device
    float* norms_here;     // (slots) in page-locked memory, from wait_cuda on those of the device
    float* scratch;        // (rows, dim) on the device, for the features of confirmations
    float* scratch_norms;  // (rows) on the device
    int64_t slots, rows, dim;
    CudaWork work;
};

// Updates of features, see ema_update: slots[i] takes in row columns[i] of the detections'
// features.
struct FeatureUpdates {
    std::vector<int64_t> slots, columns;
    std::vector<float> shares;  // of the old feature
};

// Bytes of each buffer of a CudaWork that `updates` updates can need.
int64_t cuda_update_bytes(int64_t updates);

// Waits for all that was launched before.
void wait_cuda(const CudaWork& work);

// Makes the first rows of the scratch: row k is slot from[k] (unknown for -1) as it will be after
// update k, whose column is -1 for none. `features` are those of the detections, on the device. The
// buffers are free afterwards.
void preview_cuda(const DeviceFeatures& table, const std::vector<int64_t>& from,
                  const FeatureUpdates& updates, const FeatureSet& features);

// Makes `cleared` slots unknown, takes the updates in, and sends the norms to norms_here. Launches
// and does not wait.
void update_cuda(const DeviceFeatures& table, const std::vector<int64_t>& cleared,
                 const FeatureUpdates& updates, const FeatureSet& features);

}  // namespace sslmot
