// Mark functions that are compiled for the host and, by nvcc, for the device too.
#pragma once

#if defined(__CUDACC__)
#define SSLMOT_HOST_DEVICE __host__ __device__
#else
#define SSLMOT_HOST_DEVICE
#endif
