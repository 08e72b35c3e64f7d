#include <cuda_runtime.h>

#include <algorithm>
#include <cstring>
#include <stdexcept>

#include "cuda_device.h"
#include "device_features.h"

namespace sslmot {

namespace {

cudaStream_t stream_of(const CudaWork& work) { return static_cast<cudaStream_t>(work.stream); }

void copy_on_device(const CudaWork& work, float* to, const float* from, int64_t count) {
    check_cuda(cudaMemcpyAsync(to, from, static_cast<size_t>(count) * sizeof(float),
                               cudaMemcpyDeviceToDevice, stream_of(work)),
               "copy of a feature");
}

void clear_on_device(const CudaWork& work, float* values, int64_t count) {
    check_cuda(
        cudaMemsetAsync(values, 0, static_cast<size_t>(count) * sizeof(float), stream_of(work)),
        "clearing of features");
}

// Update rows of a table by features of detections; row numbers and weights are copied first.
void blend_listed(const CudaWork& work, float* table, float* norms, int64_t dim,
                  const std::vector<int64_t>& rows, const std::vector<int64_t>& columns,
                  const std::vector<float>& shares, const FeatureSet& features) {
    const auto n = static_cast<int64_t>(rows.size());
    if (n == 0) return;
    if (cuda_update_bytes(n) > work.size)
        throw std::length_error("buffers of an update: too small");
    const size_t numbers = rows.size() * sizeof(int64_t);
    std::memcpy(work.host, rows.data(), numbers);
    std::memcpy(work.host + numbers, columns.data(), numbers);
    std::memcpy(work.host + 2 * numbers, shares.data(), rows.size() * sizeof(float));
    check_cuda(cudaMemcpyAsync(work.device, work.host, 2 * numbers + rows.size() * sizeof(float),
                               cudaMemcpyHostToDevice, stream_of(work)),
               "copy of an update");
    blend_cuda(table, norms, reinterpret_cast<const int64_t*>(work.device), features.data,
               features.norms, reinterpret_cast<const int64_t*>(work.device + numbers),
               reinterpret_cast<const float*>(work.device + 2 * numbers), n, dim, work.device_id,
               work.stream);
}

}  // namespace

int64_t cuda_update_bytes(int64_t updates) { return (8 + 8 + 4) * updates; }

void wait_cuda(const CudaWork& work) {
    const CurrentDevice current(work.device_id);
    check_cuda(cudaStreamSynchronize(stream_of(work)), "features of tracks");
}

void preview_cuda(const DeviceFeatures& table, const std::vector<int64_t>& from,
                  const FeatureUpdates& updates, const FeatureSet& features) {
    const CurrentDevice current(table.work.device_id);
    const auto n = static_cast<int64_t>(from.size());
    if (n > table.rows) throw std::length_error("scratch of confirmations: too small");
    clear_on_device(table.work, table.scratch, n * table.dim);
    clear_on_device(table.work, table.scratch_norms, n);
    for (int64_t k = 0; k < n; ++k) {
        const int64_t slot = from[static_cast<size_t>(k)];
        // An unused slot may hold an old feature: its norm is 0.
        if (slot < 0 || !(table.norms_here[slot] > 0.0F)) continue;
        copy_on_device(table.work, table.scratch + k * table.dim, table.values + slot * table.dim,
                       table.dim);
        copy_on_device(table.work, table.scratch_norms + k, table.norms + slot, 1);
    }
    std::vector<int64_t> rows, columns;
    std::vector<float> shares;
    for (size_t k = 0; k < updates.columns.size(); ++k) {
        if (updates.columns[k] < 0) continue;
        rows.push_back(static_cast<int64_t>(k));
        columns.push_back(updates.columns[k]), shares.push_back(updates.shares[k]);
    }
    blend_listed(table.work, table.scratch, table.scratch_norms, table.dim, rows, columns, shares,
                 features);
    // The next comparison fills the buffers again: the copy from them must be done.
    if (!rows.empty()) wait_cuda(table.work);
}

void update_cuda(const DeviceFeatures& table, const std::vector<int64_t>& cleared,
                 const FeatureUpdates& updates, const FeatureSet& features) {
    const CurrentDevice current(table.work.device_id);
    for (const int64_t slot : cleared) clear_on_device(table.work, table.norms + slot, 1);
    blend_listed(table.work, table.values, table.norms, table.dim, updates.slots, updates.columns,
                 updates.shares, features);
    check_cuda(cudaMemcpyAsync(table.norms_here, table.norms,
                               static_cast<size_t>(table.slots) * sizeof(float),
                               cudaMemcpyDeviceToHost, stream_of(table.work)),
               "copy of norms");
}

}  // namespace sslmot
