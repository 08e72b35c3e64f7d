// Stands in for CUDA's header where a C++ compiler builds kernels for the CPU: as much of it as
// csrc/ uses. What it declares, device.cpp does.
#pragma once

#include <cstddef>
#include <functional>
#include <string>
#include <tuple>
#include <type_traits>

#define __host__
#define __device__
#define __global__
#define __launch_bounds__(...)
#define __shared__ static  // one block runs at a time

struct uint3 {
    unsigned x, y, z;
};
extern uint3 threadIdx, blockIdx, gridDim;

using cudaStream_t = struct CUstream_st*;
enum cudaError_t {
    cudaSuccess,
    cudaErrorInvalidConfiguration,
    cudaErrorInvalidDevice,
    cudaErrorLaunchFailure
};
enum cudaMemcpyKind {
    cudaMemcpyHostToDevice = 1,
    cudaMemcpyDeviceToHost = 2,
    cudaMemcpyDeviceToDevice = 3
};
enum cudaDeviceAttr { cudaDevAttrMultiProcessorCount = 16, cudaDevAttrComputeCapabilityMajor = 75 };

cudaError_t cudaGetDeviceCount(int* count);
cudaError_t cudaGetDevice(int* device);
cudaError_t cudaSetDevice(int device);
cudaError_t cudaDeviceGetAttribute(int* value, cudaDeviceAttr name, int device);
cudaError_t cudaMemcpyAsync(void* to, const void* from, size_t bytes, cudaMemcpyKind kind,
                            cudaStream_t stream);
cudaError_t cudaMemsetAsync(void* to, int value, size_t bytes, cudaStream_t stream);
cudaError_t cudaStreamSynchronize(cudaStream_t stream);
cudaError_t cudaGetLastError();
const char* cudaGetErrorString(cudaError_t error);

namespace cuda_on_cpu {

constexpr unsigned kWarp = 32;
constexpr unsigned kWholeWarp = 0xffffffffU;

extern int mutant;  // which fault of mutants.py is on, 0 for none

// Ends the launch with an error, from within a thread of a block.
[[noreturn]] void fail(const std::string& what);

// Waits until all lanes of the mask are here, by the same line of the source. The last of them
// exchanges what all of them brought, by lane; null where a lane is not in the mask.
void meet(int line, unsigned mask, void* mine, void (*exchange)(void* const* lanes));

// Shared memory of a block: the first thread that comes by fills it with bytes 0xFF, NaNs as
// float32.
void share(void* first, size_t size);

void enqueue(const char* kernel, unsigned grid, unsigned threads, std::function<void()> thread);

// kernel<<<grid, threads, shared, stream>>>(...) as translate.py writes it.
class Launch {
  public:
    Launch(unsigned grid, unsigned threads, size_t, cudaStream_t)
        : grid_(grid), threads_(threads) {}

    // Arguments become the kernel's parameters at once, and each thread has a copy of its own.
    template <auto kernel, class... Args>
    void of(const Args&... args) const {
        call<kernel>(kernel, args...);
    }

  private:
    template <auto kernel, class... Params, class... Args>
    void call(void (*)(Params...), const Args&... args) const {
        const std::tuple<std::decay_t<Params>...> params(args...);
        enqueue(__PRETTY_FUNCTION__, grid_, threads_, [=] { std::apply(kernel, params); });
    }

    unsigned grid_, threads_;
};

}  // namespace cuda_on_cpu

void __syncthreads(int line = __builtin_LINE());

template <class T>
T __shfl_xor_sync(unsigned mask, T value, int other, int line = __builtin_LINE()) {
    struct Lane {
        T value;
        int other;
        T result;
    } mine{value, other, value};
    cuda_on_cpu::meet(line, mask, &mine, [](void* const* lanes) {
        for (unsigned i = 0; i < cuda_on_cpu::kWarp; ++i) {
            if (!lanes[i]) continue;
            auto* const to = static_cast<Lane*>(lanes[i]);
            const unsigned source = i ^ static_cast<unsigned>(to->other);
            if (source >= cuda_on_cpu::kWarp || !lanes[source])
                cuda_on_cpu::fail("shuffle: lane " + std::to_string(i) + " reads lane " +
                                  std::to_string(source) + ", which takes no part");
            to->result = static_cast<const Lane*>(lanes[source])->value;
        }
    });
    return mine.result;
}
