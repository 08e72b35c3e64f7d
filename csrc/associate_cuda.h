// Frames on CUDA: boxes are sifted and pairs assigned on the host, features compared on the device
// where they are.
#pragma once

#include <vector>

#include "associate.h"

namespace sslmot {

// Where and by what the device works, and memory for what goes there and comes back: two buffers of
// `size` bytes, one in page-locked host memory and one on the device, both aligned to 16.
struct CudaWork {
    unsigned char* host;
    unsigned char* device;
    int64_t size;
    int device_id;
    void* stream;
};

// Bytes of each buffer that a comparison can need; several need the sum.
int64_t cuda_comparison_bytes(int64_t tracks, int64_t detections);

// As associate for each, of several cameras say, with data and norms of all features on the device;
// all else is host memory. Features are given, and rows for the tracks. One copy goes there and one
// comes back, the stream is waited for once, and candidates of all are compared in one launch.
void associate_cuda(const std::vector<Comparison>& comparisons, const CudaWork& work);

// As ema_update, with everything on the device; no row twice. Launches on the stream and does not
// wait.
void blend_cuda(float* table, float* table_norms, const int64_t* rows, const float* features,
                const float* norms, const int64_t* columns, const float* delta, int64_t n,
                int64_t dim, int device_id, void* stream);

}  // namespace sslmot
