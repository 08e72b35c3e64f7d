#include "bind.h"

#include <string>

#include "dot.h"

namespace sslmot {

std::optional<Tensor> optional(const py::object& object, const char* name) {
    if (object.is_none()) return std::nullopt;
    return Tensor(object, name);
}

void expect_both_or_neither(const std::optional<Tensor>& one, const std::optional<Tensor>& other) {
    if (one.has_value() == other.has_value()) return;
    const Tensor& given = one ? *one : *other;
    throw py::value_error(given.name() + ": expected the same of both sides or of neither");
}

const int64_t* expect_rows(const Tensor& rows, int64_t n, int64_t table_size) {
    rows.expect("int64", {n}).expect_on_cpu();
    const auto* row = rows.data<const int64_t>();
    for (int64_t i = 0; i < n; ++i)
        if (row[i] < 0 || row[i] >= table_size)
            throw py::value_error(rows.name() + ": expected 0 to " +
                                  std::to_string(table_size - 1) + ", got " +
                                  std::to_string(row[i]) + " at " + std::to_string(i));
    return row;
}

std::vector<float> norms_of(const Tensor& rows) {
    rows.expect("float32", {kAny, kAny}).expect_on_cpu();
    std::vector<float> norms(static_cast<size_t>(rows.shape(0)));
    int64_t bad = -1;
    {
        const py::gil_scoped_release release;
        bad = row_norms(rows.data<const float>(), rows.shape(0), rows.shape(1), norms.data());
    }
    if (bad >= 0)
        throw py::value_error(rows.name() +
                              ": expected finite numbers and norms up to 1e18, got NaN, inf or "
                              "more in row " +
                              std::to_string(bad));
    return norms;
}

py::tuple to_arrays(const Candidates& pairs) {
    return py::make_tuple(to_array(pairs.row_begin), to_array(pairs.columns),
                          to_array(pairs.values));
}

}  // namespace sslmot
