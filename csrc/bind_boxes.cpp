// Bindings of functions of boxes: reading of detections, overlap, occlusion.
#include <pybind11/pybind11.h>
#include <pybind11/stl.h>

#include <cmath>
#include <memory>
#include <string>
#include <utility>

#include "bind.h"
#include "detections.h"
#include "occlusion.h"
#include "overlap.h"
#include "tensor.h"

namespace sslmot {

namespace {

py::tuple read_detections_of(const py::object& rows_) {
    const Tensor rows(rows_, "rows");
    const bool wide = rows.dtype() == "float64";
    rows.expect(wide ? "float64" : "float32", {kAny, kAny}).expect_on_cpu();
    if (rows.shape(1) < 4 || rows.shape(1) > 6) rows.fail("4, 5 or 6 columns");
    if (rows.shape(0) > kMostDetections)
        rows.fail("at most " + std::to_string(kMostDetections) + " rows");
    auto detections = std::make_unique<Detections>();
    const auto read = [&](const auto* data) {
        const py::gil_scoped_release release;
        return read_detections(data, rows.shape(0), rows.shape(1), *detections);
    };
    const int64_t refused = wide ? read(rows.data<const double>()) : read(rows.data<const float>());
    return py::make_tuple(std::move(detections), refused);
}

py::tuple largest_overlaps(const py::object& boxes_, const py::object& others_,
                           const py::object& classes_, const py::object& other_classes_) {
    const Tensor boxes(boxes_, "boxes"), others(others_, "others");
    boxes.expect("float32", {kAny, 4}).expect_on_cpu();
    others.expect("float32", {kAny, 4}).expect_on_cpu();
    const Tensor classes(classes_, "classes"), other_classes(other_classes_, "other_classes");
    classes.expect("int32", {boxes.shape(0)}).expect_on_cpu();
    other_classes.expect("int32", {others.shape(0)}).expect_on_cpu();
    py::array_t<float> overlap(boxes.shape(0));
    py::array_t<int32_t> other(boxes.shape(0));
    float* const out = overlap.mutable_data();
    int32_t* const which = other.mutable_data();
    {
        const py::gil_scoped_release release;
        find_overlaps(
            {boxes.data<const float>(), classes.data<const int32_t>(), boxes.shape(0)},
            {others.data<const float>(), other_classes.data<const int32_t>(), others.shape(0)}, out,
            which);
    }
    return py::make_tuple(std::move(overlap), std::move(other));
}

py::array_t<float> occluded_shares(const py::object& boxes_) {
    const Tensor boxes(boxes_, "boxes");
    boxes.expect("float32", {kAny, 4}).expect_on_cpu();
    const auto* number = boxes.data<const float>();
    for (int64_t k = 0; k < boxes.size(); ++k)  // a NaN cannot be sorted
        if (std::isnan(number[k]))
            throw py::value_error("boxes: expected numbers, got NaN in row " +
                                  std::to_string(k / 4));
    py::array_t<float> share(boxes.shape(0));
    float* out = share.mutable_data();
    const py::gil_scoped_release release;
    find_occlusion(boxes.data<const float>(), boxes.shape(0), out);
    return share;
}

}  // namespace

void bind_boxes(py::module_& m, py::module_& testing) {
    m.attr("MOST_DETECTIONS") = kMostDetections;
    m.attr("LARGEST_NUMBER") = kLargestNumber;
    py::class_<Detections>(m, "Detections", "The detections of a frame, checked.")
        .def_property_readonly("boxes", [](const Detections& d) { return to_array(d.boxes, 4); })
        .def_property_readonly("scores", [](const Detections& d) { return to_array(d.scores); })
        .def_property_readonly("classes", [](const Detections& d) { return to_array(d.classes); })
        .def("__len__", &Detections::count);
    m.def("read_detections", &read_detections_of, py::arg("rows"));
    testing.def("largest_overlaps", &largest_overlaps, py::arg("boxes"), py::arg("others"),
                py::arg("classes"), py::arg("other_classes"));
    testing.def("occluded_shares", &occluded_shares, py::arg("boxes"));
}

}  // namespace sslmot
