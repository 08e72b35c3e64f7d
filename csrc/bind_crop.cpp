// Bindings of crops.
#include <pybind11/pybind11.h>
#include <pybind11/stl.h>

#include <array>
#include <cmath>
#include <string>

#include "bind.h"
#include "crop.h"
#include "tensor.h"

namespace sslmot {

namespace {

// Largest sides of a crop and of a frame: they bound the work of a crop.
constexpr int64_t kLargestCrop = 4096, kLargestFrame = 65535;

void crop(const py::object& frame_, const py::object& boxes_, const py::object& out_,
          const std::array<float, 3>& mean, const std::array<float, 3>& std, bool bgr_to_rgb,
          uintptr_t stream) {
    const Tensor out(out_, "out");
    out.expect("float32", {kAny, 3, kAny, kAny}).expect_writable();
    const Tensor frame(frame_, "frame");
    frame.expect("uint8", {kAny, kAny, 3}, true).expect_with(out);
    const Tensor boxes(boxes_, "boxes");
    boxes.expect("float32", {out.shape(0), 4}).expect_with(out);
    for (const size_t side : {size_t{2}, size_t{3}})
        if (out.shape(side) < 1 || out.shape(side) > kLargestCrop)
            out.fail("crops with sides of 1 to " + std::to_string(kLargestCrop) + " pixels");
    for (const size_t side : {size_t{0}, size_t{1}})
        if (frame.shape(side) < 1 || frame.shape(side) > kLargestFrame)
            frame.fail("a frame with sides of 1 to " + std::to_string(kLargestFrame) + " pixels");
    CropFormat format{out.shape(2), out.shape(3), {}, {}, bgr_to_rgb};
    for (size_t c = 0; c < 3; ++c) {
        if (!(std::isfinite(mean[c]) && std::isfinite(std[c]) && std[c] > 0.0F))
            throw py::value_error("mean, std: expected finite numbers, std above 0");
        format.mean[c] = mean[c];
        format.std[c] = std[c];
    }
    const CropFrame view{frame.data<const uint8_t>(), frame.shape(0), frame.shape(1),
                         frame.stride(0)};
    const py::gil_scoped_release release;
    if (out.cuda())
        crop_cuda(view, boxes.data<const float>(), out.shape(0), format, out.data<float>(),
                  out.device_id(), to_stream(stream));
    else
        crop_cpu(view, boxes.data<const float>(), out.shape(0), format, out.data<float>());
}

}  // namespace

void bind_crop(py::module_& m) {
    m.def("crop", &crop, py::arg("frame"), py::arg("boxes"), py::arg("out"), py::arg("mean"),
          py::arg("std"), py::arg("bgr_to_rgb"), py::arg("stream") = 0);
}

}  // namespace sslmot
