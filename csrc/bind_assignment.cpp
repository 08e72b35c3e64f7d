// Bindings of minimum-cost matching.
#include <pybind11/pybind11.h>
#include <pybind11/stl.h>

#include <cmath>
#include <string>

#include "assign.h"
#include "bind.h"
#include "tensor.h"

namespace sslmot {

namespace {

// Most columns of assign_pairs: it allocates memory for each, with or without pairs.
constexpr int64_t kMostColumns = int64_t{1} << 20;

template <class Cost>
void assign_dense_to(const Tensor& cost, double max_cost, int32_t* match) {
    const py::gil_scoped_release release;
    assign_dense(cost.data<const Cost>(), cost.shape(0), cost.shape(1), max_cost, match);
}

void expect_max_cost(double max_cost) {
    if (!(max_cost > -INFINITY))
        throw py::value_error("max_cost: expected a number or inf, got " +
                              std::to_string(max_cost));
}

py::array_t<int32_t> assign(const py::object& cost_, double max_cost) {
    const Tensor cost(cost_, "cost");
    const bool wide = cost.dtype() == "float64";
    cost.expect(wide ? "float64" : "float32", {kAny, kAny}).expect_on_cpu();
    expect_max_cost(max_cost);
    py::array_t<int32_t> match(cost.shape(0));
    wide ? assign_dense_to<double>(cost, max_cost, match.mutable_data())
         : assign_dense_to<float>(cost, max_cost, match.mutable_data());
    return match;
}

template <class Cost>
void assign_sparse_to(const Tensor& row_begin, const Tensor& columns, const Tensor& costs,
                      int64_t n_columns, double max_cost, int32_t* match) {
    const py::gil_scoped_release release;
    assign_sparse(row_begin.data<const int32_t>(), columns.data<const int32_t>(),
                  costs.data<const Cost>(), row_begin.shape(0) - 1, n_columns, max_cost, match);
}

py::array_t<int32_t> assign_pairs(const py::object& row_begin_, const py::object& columns_,
                                  const py::object& costs_, int64_t n_columns, double max_cost) {
    const Tensor row_begin(row_begin_, "row_begin");
    row_begin.expect("int32", {kAny}).expect_on_cpu();
    if (row_begin.size() == 0) row_begin.fail("int32 (rows + 1,)");
    const Tensor columns(columns_, "columns");
    columns.expect("int32", {kAny}).expect_on_cpu();
    const Tensor costs(costs_, "costs");
    const bool wide = costs.dtype() == "float64";
    costs.expect(wide ? "float64" : "float32", {columns.shape(0)}).expect_on_cpu();
    expect_max_cost(max_cost);
    if (n_columns < 0 || n_columns > kMostColumns)
        throw py::value_error("n_columns: expected 0 to " + std::to_string(kMostColumns) +
                              ", got " + std::to_string(n_columns));
    const auto* begin = row_begin.data<const int32_t>();
    bool rising = begin[0] == 0 && begin[row_begin.size() - 1] == columns.size();
    for (int64_t i = 0; i + 1 < row_begin.size(); ++i) rising &= begin[i] <= begin[i + 1];
    if (!rising)
        throw py::value_error("row_begin: expected offsets that rise from 0 to " +
                              std::to_string(columns.size()) + ", the number of pairs");
    const auto* column = columns.data<const int32_t>();
    for (int64_t e = 0; e < columns.size(); ++e)
        if (column[e] < 0 || column[e] >= n_columns)
            throw py::value_error("columns: expected 0 to " + std::to_string(n_columns - 1) +
                                  ", got " + std::to_string(column[e]) + " at " +
                                  std::to_string(e));
    py::array_t<int32_t> match(row_begin.size() - 1);
    wide ? assign_sparse_to<double>(row_begin, columns, costs, n_columns, max_cost,
                                    match.mutable_data())
         : assign_sparse_to<float>(row_begin, columns, costs, n_columns, max_cost,
                                   match.mutable_data());
    return match;
}

}  // namespace

void bind_assignment(py::module_& m, py::module_& testing) {
    m.def("assign", &assign, py::arg("cost"), py::arg("max_cost"));
    testing.def("assign_pairs", &assign_pairs, py::arg("row_begin"), py::arg("columns"),
                py::arg("costs"), py::arg("n_columns"), py::arg("max_cost"));
}

}  // namespace sslmot
