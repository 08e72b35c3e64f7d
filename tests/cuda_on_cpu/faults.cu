// Kernels with faults, by which the tests see that the device reports them.
#include <cuda_runtime.h>

namespace {

constexpr int kThreads = 64;

__global__ void unequal_barrier() {
    if (threadIdx.x < 40) __syncthreads();
}

__global__ void two_barriers() {
    if (threadIdx.x < 40)
        __syncthreads();
    else
        __syncthreads();
}

__global__ void half_a_warp(float* out) {
    if (threadIdx.x % 32 < 16) out[threadIdx.x] = __shfl_xor_sync(0xffffffffU, 1.0F, 1);
}

__global__ void two_shuffles(float* out) {
    if (threadIdx.x % 32 < 16)
        out[threadIdx.x] = __shfl_xor_sync(0xffffffffU, 1.0F, 1);
    else
        out[threadIdx.x] = __shfl_xor_sync(0xffffffffU, 2.0F, 1);
}

__global__ void lane_out_of_mask(float* out) {
    if (threadIdx.x % 32 < 16) out[threadIdx.x] = __shfl_xor_sync(0xffffU, 1.0F, 16);
}

__global__ void first_value(float* out) {
    __shared__ float memory[kThreads];
    out[threadIdx.x] = memory[threadIdx.x];
    memory[threadIdx.x] = 1.0F;
}

}  // namespace

extern "C" __attribute__((visibility("default"))) void launch_fault(int which, float* out) {
    switch (which) {
        case 0:
            unequal_barrier<<<1, kThreads, 0, nullptr>>>();
            break;
        case 1:
            two_barriers<<<1, kThreads, 0, nullptr>>>();
            break;
        case 2:
            half_a_warp<<<1, kThreads, 0, nullptr>>>(out);
            break;
        case 3:
            two_shuffles<<<1, kThreads, 0, nullptr>>>(out);
            break;
        case 4:
            lane_out_of_mask<<<1, kThreads, 0, nullptr>>>(out);
            break;
        case 5:
            first_value<<<2, kThreads, 0, nullptr>>>(out);
            break;
        default:
            first_value<<<0, kThreads, 0, nullptr>>>(out);
    }
}
