// What the bindings of the core share. Nothing is computed in bind_*.cpp: they check arguments,
// release the GIL and convert results. sslmot/_core/*.pyi document each function.
#pragma once

#include <pybind11/numpy.h>
#include <pybind11/pybind11.h>

#include <algorithm>
#include <cstdint>
#include <optional>
#include <vector>

#include "candidates.h"
#include "tensor.h"

namespace sslmot {

namespace py = pybind11;

constexpr int64_t kAny = -1;  // a size that is not checked, see Tensor::expect

inline void* to_stream(uintptr_t stream) { return reinterpret_cast<void*>(stream); }

// A view of an argument that may be None.
std::optional<Tensor> optional(const py::object& object, const char* name);

template <class T>
const T* data_or_null(const std::optional<Tensor>& tensor) {
    return tensor ? tensor->data<const T>() : nullptr;
}

// Throw ValueError if only one of two arguments is given.
void expect_both_or_neither(const std::optional<Tensor>& one, const std::optional<Tensor>& other);

// The data of `rows`, (n) int64 on the CPU. Throw ValueError for a row outside a table.
const int64_t* expect_rows(const Tensor& rows, int64_t n, int64_t table_size);

template <class T>
py::array_t<T> to_array(const std::vector<T>& values) {
    py::array_t<T> array(static_cast<py::ssize_t>(values.size()));
    std::copy(values.begin(), values.end(), array.mutable_data());
    return array;
}

template <class T>
py::array_t<T> to_array(const std::vector<T>& values, int64_t columns) {
    const auto n = static_cast<py::ssize_t>(values.size());
    py::array_t<T> array({columns ? n / columns : 0, static_cast<py::ssize_t>(columns)});
    std::copy(values.begin(), values.end(), array.mutable_data());
    return array;
}

// The norms of rows, (n, dim) float32 on the CPU. Throw ValueError that names the first row that is
// not finite or too long.
std::vector<float> norms_of(const Tensor& rows);

// (row_begin, columns, values).
py::tuple to_arrays(const Candidates& pairs);

// Each adds what the package uses to `m`, and what only tests and benchmarks use to `testing`.
void bind_assignment(py::module_& m, py::module_& testing);
void bind_association(py::module_& m, py::module_& testing);
void bind_boxes(py::module_& m, py::module_& testing);
void bind_cost(py::module_& m, py::module_& testing);
void bind_crop(py::module_& m);
void bind_features(py::module_& m, py::module_& testing);
void bind_motion(py::module_& m, py::module_& testing);
void bind_track_table(py::module_& m);

}  // namespace sslmot
