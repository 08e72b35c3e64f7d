// Bindings of the cost of pairs.
#include <pybind11/pybind11.h>
#include <pybind11/stl.h>

#include <string>

#include "bind.h"
#include "cost.h"
#include "pair.h"
#include "tensor.h"

namespace sslmot {

namespace {

void cost(const py::object& track_features_, const py::object& detection_features_,
          const py::object& track_boxes_, const py::object& detection_boxes_,
          const PairParams& params, const py::object& out_, const py::object& max_distance_,
          const py::object& track_classes_, const py::object& detection_classes_,
          const py::object& min_affinity_, uintptr_t stream) {
    const Tensor out(out_, "out");
    out.expect("float32", {kAny, kAny, kAny}).expect_writable();
    const int64_t b = out.shape(0), t = out.shape(1), n = out.shape(2);
    const Tensor track_boxes(track_boxes_, "track_boxes");
    track_boxes.expect("float32", {b, t, 4}).expect_with(out);
    const Tensor detection_boxes(detection_boxes_, "detection_boxes");
    detection_boxes.expect("float32", {b, n, 4}).expect_with(out);
    const auto max_distance = optional(max_distance_, "max_distance");
    if (max_distance) max_distance->expect("float32", {b, t}).expect_with(out);
    const auto min_affinity = optional(min_affinity_, "min_affinity");
    if (min_affinity) min_affinity->expect("float32", {b, t}).expect_with(out);

    CostProblem q{};
    const auto track_features = optional(track_features_, "track_features");
    const auto detection_features = optional(detection_features_, "detection_features");
    expect_both_or_neither(track_features, detection_features);
    if (track_features) {
        const std::string& dtype = track_features->dtype();
        if (dtype == "float16")
            q.element = Element::f16;
        else if (dtype == "bfloat16")
            q.element = Element::bf16;
        else
            q.element = Element::f32;
        if (q.element == Element::f32 || !out.cuda())
            track_features->expect("float32", {b, t, kAny});
        else
            track_features->expect(dtype.c_str(), {b, t, kAny});
        track_features->expect_with(out);
        q.dim = track_features->shape(2);
        detection_features->expect(dtype.c_str(), {b, n, q.dim}).expect_with(out);
    }
    const auto track_classes = optional(track_classes_, "track_classes");
    const auto detection_classes = optional(detection_classes_, "detection_classes");
    expect_both_or_neither(track_classes, detection_classes);
    if (track_classes) {
        track_classes->expect("int32", {b, t}).expect_with(out);
        detection_classes->expect("int32", {b, n}).expect_with(out);
    }
    q.batch = b, q.tracks = t, q.detections = n;
    q.appearance = track_features.has_value();
    q.track_features = data_or_null<void>(track_features);
    q.detection_features = data_or_null<void>(detection_features);
    q.track_boxes = track_boxes.data<const float>();
    q.detection_boxes = detection_boxes.data<const float>();
    q.max_distance = data_or_null<float>(max_distance);
    q.min_affinity = data_or_null<float>(min_affinity);
    q.track_classes = data_or_null<int32_t>(track_classes);
    q.detection_classes = data_or_null<int32_t>(detection_classes);
    q.params = params;
    q.cost = out.data<float>();
    const py::gil_scoped_release release;
    if (out.cuda())
        cost_cuda(q, out.device_id(), to_stream(stream));
    else
        cost_cpu(q);
}

}  // namespace

void bind_cost(py::module_& m, py::module_& testing) {
    py::class_<PairParams>(m, "PairParams")
        .def(py::init([](float tau, float min_affinity, float appearance_weight,
                         float motion_weight, float max_cost) {
                 return PairParams{tau, min_affinity, appearance_weight, motion_weight, max_cost};
             }),
             py::kw_only(), py::arg("tau"), py::arg("min_affinity"), py::arg("appearance_weight"),
             py::arg("motion_weight"), py::arg("max_cost"))
        .def_readonly("max_cost", &PairParams::max_cost);
    m.def("cuda_device_count", &cuda_device_count);
    testing.def("cost", &cost, py::arg("track_features"), py::arg("detection_features"),
                py::arg("track_boxes"), py::arg("detection_boxes"), py::arg("params"),
                py::arg("out"), py::arg("max_distance") = py::none(),
                py::arg("track_classes") = py::none(), py::arg("detection_classes") = py::none(),
                py::arg("min_affinity") = py::none(), py::arg("stream") = 0);
}

}  // namespace sslmot
