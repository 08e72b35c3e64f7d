// Bindings of features: their norms, and their exponential moving average.
#include <pybind11/pybind11.h>
#include <pybind11/stl.h>

#include <string>

#include "associate.h"
#include "associate_cuda.h"
#include "bind.h"
#include "dot.h"
#include "shortlist.h"
#include "tensor.h"

namespace sslmot {

namespace {

void ema_update_rows(const py::object& table_, const py::object& table_norms_,
                     const py::object& rows_, const py::object& embeddings_,
                     const py::object& norms_, const py::object& columns_, const py::object& delta_,
                     uintptr_t stream) {
    const Tensor table(table_, "table");
    table.expect("float32", {kAny, kAny}).expect_writable();
    const Tensor table_norms(table_norms_, "table_norms");
    table_norms.expect("float32", {table.shape(0)}).expect_with(table).expect_writable();
    const Tensor embeddings(embeddings_, "embeddings");
    embeddings.expect("float32", {kAny, table.shape(1)}).expect_with(table);
    const Tensor norms(norms_, "norms");
    norms.expect("float32", {embeddings.shape(0)}).expect_with(table);
    const Tensor rows(rows_, "rows");
    const Tensor columns(columns_, "columns");
    rows.expect("int64", {kAny}).expect_with(table);
    const int64_t n = rows.shape(0);
    columns.expect("int64", {n}).expect_with(table);
    const Tensor delta(delta_, "delta");
    delta.expect("float32", {n}).expect_with(table);
    if (!table.cuda()) {
        expect_rows(rows, n, table.shape(0));
        expect_rows(columns, n, embeddings.shape(0));
    }
    const py::gil_scoped_release release;
    const auto update = [&](auto function, auto... where) {
        function(table.data<float>(), table_norms.data<float>(), rows.data<const int64_t>(),
                 embeddings.data<const float>(), norms.data<const float>(),
                 columns.data<const int64_t>(), delta.data<const float>(), n, table.shape(1),
                 where...);
    };
    if (table.cuda())
        update(blend_cuda, table.device_id(), to_stream(stream));
    else
        update(ema_update);
}

py::array_t<int64_t> find_nearest_codes(const py::object& head_, const py::object& tail_,
                                        const py::object& tail_norms_, const py::object& queries_,
                                        int64_t size) {
    const Tensor head(head_, "head"), tail(tail_, "tail"), tail_norms(tail_norms_, "tail_norms");
    const Tensor queries(queries_, "queries");
    head.expect("uint8", {kAny, kHead}).expect_on_cpu();
    tail.expect("uint8", {head.shape(0), kTail}).expect_on_cpu();
    tail_norms.expect("uint16", {head.shape(0)}).expect_on_cpu();
    queries.expect("int8", {kAny, kHead + kTail}).expect_on_cpu();
    if (size < 1 || size > head.shape(0))
        throw py::value_error("size: expected 1 to " + std::to_string(head.shape(0)) + ", got " +
                              std::to_string(size));
    const int64_t n = queries.shape(0);
    const auto* numbers = queries.data<const int8_t>();
    for (int64_t i = 0; i < n * (kHead + kTail); ++i)
        if (numbers[i] < -kLargestQuery || numbers[i] > kLargestQuery)
            throw py::value_error("queries: expected numbers of -63 to 63, got " +
                                  std::to_string(numbers[i]));
    std::vector<int64_t> found(static_cast<size_t>(n * size));
    {
        const py::gil_scoped_release release;
        nearest_codes({head.data<const uint8_t>(), tail.data<const uint8_t>(),
                       tail_norms.data<const uint16_t>(), head.shape(0)},
                      numbers, n, size, found.data());
    }
    return to_array(found, size);
}

}  // namespace

void bind_features(py::module_& m, py::module_& testing) {
    m.attr("LARGEST_NORM") = static_cast<double>(kLargestNorm);
    m.attr("SMALLEST_NORM") = static_cast<double>(kSmallestNorm);
    m.def(
        "row_norms",
        [](const py::object& embeddings, const char* name) {
            return to_array(norms_of(Tensor(embeddings, name)));
        },
        py::arg("embeddings"), py::arg("name") = "embeddings");
    m.def("nearest_codes", &find_nearest_codes, py::arg("head"), py::arg("tail"),
          py::arg("tail_norms"), py::arg("queries"), py::arg("size"));
    testing.def("ema_update", &ema_update_rows, py::arg("table"), py::arg("table_norms"),
                py::arg("rows"), py::arg("embeddings"), py::arg("norms"), py::arg("columns"),
                py::arg("delta"), py::arg("stream") = 0);
}

}  // namespace sslmot
