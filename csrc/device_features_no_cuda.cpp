// Stands in for device_features.cu in a build without CUDA.
#include <stdexcept>

#include "device_features.h"

namespace sslmot {

namespace {

[[noreturn]] void refuse() {
    throw std::runtime_error("sslmot was built without CUDA: expected arrays on the CPU");
}

}  // namespace

int64_t cuda_update_bytes(int64_t) { return 0; }

void wait_cuda(const CudaWork&) { refuse(); }

void preview_cuda(const DeviceFeatures&, const std::vector<int64_t>&, const FeatureUpdates&,
                  const FeatureSet&) {
    refuse();
}

void update_cuda(const DeviceFeatures&, const std::vector<int64_t>&, const FeatureUpdates&,
                 const FeatureSet&) {
    refuse();
}

}  // namespace sslmot
