// Bindings of the motion model.
#include <pybind11/pybind11.h>
#include <pybind11/stl.h>

#include <string>

#include "bind.h"
#include "motion.h"
#include "tensor.h"

namespace sslmot {

namespace {

void expect_seconds(const Tensor& gaps, int64_t tracks) {
    gaps.expect("float64", {tracks}).expect_on_cpu();
    const auto* seconds = gaps.data<const double>();
    for (int64_t i = 0; i < tracks; ++i)
        if (!(seconds[i] >= 0.0))
            throw py::value_error("gaps: expected 0 or more, got " + std::to_string(seconds[i]) +
                                  " at " + std::to_string(i));
}

py::array_t<float> predict_boxes(const py::object& state_, const py::object& gaps_) {
    const Tensor state(state_, "state");
    state.expect("float32", {kAny, 5, 4}).expect_on_cpu();
    const Tensor gaps(gaps_, "gaps");
    expect_seconds(gaps, state.shape(0));
    py::array_t<float> boxes({static_cast<py::ssize_t>(state.shape(0)), py::ssize_t{4}});
    float* out = boxes.mutable_data();
    const py::gil_scoped_release release;
    predict(state.data<const float>(), state.shape(0), gaps.data<const double>(), out);
    return boxes;
}

void observe_boxes(const py::object& state_, const py::object& gaps_, const py::object& rows_,
                   const py::object& boxes_, const py::object& columns_, const MotionNoise& noise) {
    const Tensor state(state_, "state");
    state.expect("float32", {kAny, 5, 4}).expect_on_cpu().expect_writable();
    const int64_t tracks = state.shape(0);
    const Tensor gaps(gaps_, "gaps");
    expect_seconds(gaps, tracks);
    const Tensor boxes(boxes_, "boxes");
    boxes.expect("float32", {kAny, 4}).expect_on_cpu();
    const Tensor rows(rows_, "rows"), columns(columns_, "columns");
    rows.expect("int64", {kAny});
    const int64_t n = rows.shape(0);
    const Observations seen{boxes.data<const float>(), expect_rows(rows, n, tracks),
                            expect_rows(columns, n, boxes.shape(0)), n};
    const py::gil_scoped_release release;
    observe(state.data<float>(), gaps.data<const double>(), seen, noise);
}

}  // namespace

void bind_motion(py::module_& m, py::module_& testing) {
    py::class_<MotionNoise>(m, "MotionNoise")
        .def(py::init([](float value, float velocity, float size, float measurement) {
                 return MotionNoise{value, velocity, size, measurement};
             }),
             py::kw_only(), py::arg("value"), py::arg("velocity"), py::arg("size"),
             py::arg("measurement"));
    testing.def("predict", &predict_boxes, py::arg("state"), py::arg("gaps"));
    testing.def("observe", &observe_boxes, py::arg("state"), py::arg("gaps"), py::arg("rows"),
                py::arg("boxes"), py::arg("columns"), py::arg("noise"));
}

}  // namespace sslmot
