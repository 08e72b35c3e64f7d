// Make the device of a call current while it launches: the static runtime has a current device of
// its own. For CUDA sources only.
#pragma once

#include <cuda_runtime.h>

#include <stdexcept>
#include <string>

namespace sslmot {

inline void check_cuda(cudaError_t error, const char* what) {
    if (error != cudaSuccess)
        throw std::runtime_error(std::string(what) + ": " + cudaGetErrorString(error));
}

class CurrentDevice {
  public:
    explicit CurrentDevice(int device) {
        check_cuda(cudaGetDevice(&previous_), "cudaGetDevice");
        changed_ = previous_ != device;
        if (changed_) check_cuda(cudaSetDevice(device), "cudaSetDevice");
    }
    ~CurrentDevice() {
        // Only if it changed: cudaSetDevice creates a context.
        if (changed_) cudaSetDevice(previous_);
    }
    CurrentDevice(const CurrentDevice&) = delete;
    CurrentDevice& operator=(const CurrentDevice&) = delete;

  private:
    int previous_ = 0;
    bool changed_ = false;
};

}  // namespace sslmot
