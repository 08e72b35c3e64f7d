// Comparisons on CUDA: the host finds candidates and matches, the device compares features.
#pragma once

#include <vector>

#include "associate.h"

namespace sslmot {

// Device, stream, and memory for what is copied to the device and back: two buffers of `size`
// bytes, one in page-locked host memory and one on the device, both aligned to 16 bytes.
struct CudaWork {
    unsigned char* host;
    unsigned char* device;
    int64_t size;
    int device_id;
    void* stream;
};

// The most bytes of each buffer that a comparison needs; several need the sum.
int64_t cuda_comparison_bytes(int64_t tracks, int64_t detections);

// Run associate for several comparisons, such as those of several cameras. Data and norms of all
// features are on the device, everything else in host memory. Features and the rows of the tracks
// are given. There is one copy to the device and one back, one launch for the candidates of all
// comparisons, and one wait for the stream.
void associate_cuda(const std::vector<Comparison>& comparisons, const CudaWork& work);

// Run ema_update with everything on the device; no row comes twice. Launches on the stream and does
// not wait.
void blend_cuda(float* table, float* table_norms, const int64_t* rows, const float* features,
                const float* norms, const int64_t* columns, const float* delta, int64_t n,
                int64_t dim, int device_id, void* stream);

}  // namespace sslmot
