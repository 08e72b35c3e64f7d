// Stands in for crop_cuda.cu in a build without CUDA.
#include <stdexcept>

#include "crop.h"

namespace sslmot {

void crop_cuda(const CropFrame&, const float*, int64_t, CropFormat, float*, int, void*) {
    throw std::runtime_error("sslmot was built without CUDA: expected arrays on the CPU");
}

}  // namespace sslmot
