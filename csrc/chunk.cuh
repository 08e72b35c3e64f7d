// Feature rows on CUDA, 16 bytes at a time.
#pragma once

#include <cuda_bf16.h>
#include <cuda_fp16.h>

#include <cstdint>

namespace sslmot {

__device__ inline float to_float(float x) { return x; }
__device__ inline float to_float(__half x) { return __half2float(x); }
__device__ inline float to_float(__nv_bfloat16 x) { return __bfloat162float(x); }

template <class T>
struct alignas(16) Chunk {
    static constexpr int kSize = 16 / static_cast<int>(sizeof(T));
    T values[kSize];
};

// Whether rows of `dim` numbers can be read by whole chunks: all start at a multiple of 16 bytes.
template <class T>
bool whole_chunks(const void* features, int64_t dim) {
    return dim % Chunk<T>::kSize == 0 && reinterpret_cast<uintptr_t>(features) % 16 == 0;
}

// Load the chunk of a row that starts at `first`; zeros from `dim` on, and for no row.
template <class T>
__device__ inline Chunk<T> load_chunk(const T* row, int64_t first, int64_t dim, bool whole) {
    Chunk<T> chunk{};
    if (!row || first >= dim) return chunk;
    if (whole) return *reinterpret_cast<const Chunk<T>*>(row + first);
#pragma unroll
    for (int i = 0; i < Chunk<T>::kSize; ++i)
        if (first + i < dim) chunk.values[i] = row[first + i];
    return chunk;
}

}  // namespace sslmot
