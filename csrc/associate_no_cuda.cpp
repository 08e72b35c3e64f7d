// Stands in for associate_cuda.cu in a build without CUDA.
#include <stdexcept>

#include "associate_cuda.h"

namespace sslmot {

int64_t cuda_comparison_bytes(int64_t, int64_t) { return 0; }

void associate_cuda(const std::vector<Comparison>&, const CudaWork&) {
    throw std::runtime_error("sslmot was built without CUDA: expected arrays on the CPU");
}

void blend_cuda(float*, float*, const int64_t*, const float*, const float*, const int64_t*,
                const float*, int64_t, int64_t, int, void*) {
    throw std::runtime_error("sslmot was built without CUDA: expected arrays on the CPU");
}

}  // namespace sslmot
