// One frame on CUDA: boxes are sifted and pairs assigned on the host, features compared on the
// device where they are.
#pragma once

#include "associate.h"

namespace sslmot {

// Where and by what the device works, and memory for what goes there and comes back: two buffers of
// `size` bytes, one in page-locked host memory and one on the device, both aligned to 16.
struct CudaFrame {
    unsigned char* host;
    unsigned char* device;
    int64_t size;
    int device_id;
    void* stream;
};

// Bytes of each buffer that a frame can need.
int64_t cuda_frame_bytes(int64_t tracks, int64_t detections);

// As associate, with data and norms of both feature sets on the device; all else is host memory.
// Features are given, and rows for the tracks. One copy goes there and one comes back, and the
// stream is waited for once. Throws std::invalid_argument where a cost is NaN.
void associate_cuda(const BoxSet& tracks, const FeatureSet& track_features, const float* reach,
                    const float* min_affinity, const BoxSet& detections,
                    const FeatureSet& detection_features, const PairParams& params,
                    const CudaFrame& frame, Candidates& pairs, int32_t* match);

// As blend, with everything on the device; no row twice. Launches on the stream and does not wait.
void blend_cuda(float* table, float* table_norms, const int64_t* rows, const float* features,
                const float* norms, const int64_t* columns, const float* delta, int64_t n,
                int64_t dim, int device_id, void* stream);

}  // namespace sslmot
