// Stands in for cost_cuda.cu in a build without CUDA.
#include <stdexcept>

#include "cost.h"

namespace sslmot {

void cost_cuda(const CostProblem&, int, void*) {
    throw std::runtime_error("sslmot was built without CUDA: expected arrays on the CPU");
}

int cuda_device_count() { return 0; }

}  // namespace sslmot
