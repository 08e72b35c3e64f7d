// Bindings of candidates, and of comparisons on the CPU and on CUDA.
#include <pybind11/pybind11.h>
#include <pybind11/stl.h>

#include <limits>
#include <optional>
#include <string>
#include <tuple>
#include <vector>

#include "associate.h"
#include "associate_cuda.h"
#include "bind.h"
#include "candidates.h"
#include "tensor.h"

namespace sslmot {

namespace {

// Checked boxes, max_distance and classes of a frame.
struct FrameBoxes {
    FrameBoxes(const py::object& track_boxes_, const py::object& max_distance_,
               const py::object& detection_boxes_, const py::object& track_classes_,
               const py::object& detection_classes_)
        : track_boxes(track_boxes_, "track_boxes"),
          max_distance(max_distance_, "max_distance"),
          detection_boxes(detection_boxes_, "detection_boxes"),
          track_classes(optional(track_classes_, "track_classes")),
          detection_classes(optional(detection_classes_, "detection_classes")) {
        track_boxes.expect("float32", {kAny, 4}).expect_on_cpu();
        max_distance.expect("float32", {track_boxes.shape(0)}).expect_on_cpu();
        detection_boxes.expect("float32", {kAny, 4}).expect_on_cpu();
        expect_both_or_neither(track_classes, detection_classes);
        if (track_classes) {
            track_classes->expect("int32", {track_boxes.shape(0)}).expect_on_cpu();
            detection_classes->expect("int32", {detection_boxes.shape(0)}).expect_on_cpu();
        }
    }
    BoxSet tracks() const {
        return {track_boxes.data<const float>(), data_or_null<int32_t>(track_classes),
                track_boxes.shape(0)};
    }
    BoxSet detections() const {
        return {detection_boxes.data<const float>(), data_or_null<int32_t>(detection_classes),
                detection_boxes.shape(0)};
    }
    Tensor track_boxes, max_distance, detection_boxes;
    std::optional<Tensor> track_classes, detection_classes;
};

py::tuple candidates(const py::object& track_boxes, const py::object& max_distance,
                     const py::object& detection_boxes, const py::object& track_classes,
                     const py::object& detection_classes) {
    const FrameBoxes boxes(track_boxes, max_distance, detection_boxes, track_classes,
                           detection_classes);
    Candidates found;
    {
        const py::gil_scoped_release release;
        find_candidates(boxes.tracks(), boxes.max_distance.data<const float>(), boxes.detections(),
                        found);
    }
    return to_arrays(found);
}

// Checked arguments of associate, and its results.
class Frame {
  public:
    Frame(const py::object& track_boxes, const py::object& max_distance,
          const py::object& detection_boxes, const PairParams& params, const py::object& table,
          const py::object& table_norms, const py::object& rows, const py::object& embeddings,
          const py::object& norms, const py::object& track_classes,
          const py::object& detection_classes, const py::object& min_affinity)
        : boxes_(track_boxes, max_distance, detection_boxes, track_classes, detection_classes),
          params_(params),
          table_(optional(table, "table")),
          embeddings_(optional(embeddings, "embeddings")),
          min_affinity_(optional(min_affinity, "min_affinity")),
          match_(boxes_.tracks().count) {
        const int64_t tracks = boxes_.tracks().count, detections = boxes_.detections().count;
        expect_both_or_neither(table_, embeddings_);
        if (table_) {
            table_->expect("float32", {kAny, kAny});
            embeddings_->expect("float32", {detections, table_->shape(1)}).expect_with(*table_);
            table_norms_.emplace(table_norms, "table_norms");
            table_norms_->expect("float32", {table_->shape(0)}).expect_with(*table_);
            norms_.emplace(norms, "norms");
            norms_->expect("float32", {detections}).expect_with(*table_);
            rows_.emplace(rows, "rows");
            expect_rows(*rows_, tracks, table_->shape(0));
        }
        if (min_affinity_) min_affinity_->expect("float32", {tracks}).expect_on_cpu();
    }

    const std::optional<Tensor>& table() const { return table_; }

    Comparison comparison(Candidates& pairs) {
        Comparison c{};
        c.tracks = boxes_.tracks(), c.detections = boxes_.detections();
        if (table_) {
            const int64_t dim = table_->shape(1);
            c.track_features = {table_->data<const float>(), table_norms_->data<const float>(),
                                rows_->data<const int64_t>(), dim};
            c.detection_features = {embeddings_->data<const float>(), norms_->data<const float>(),
                                    nullptr, dim};
        }
        c.max_distance = boxes_.max_distance.data<const float>();
        c.min_affinity = data_or_null<float>(min_affinity_);
        c.params = params_;
        c.pairs = &pairs;
        c.match = match_.mutable_data();
        return c;
    }

    py::tuple result(const Candidates& pairs) const {
        return py::make_tuple(match_, to_arrays(pairs));
    }

  private:
    FrameBoxes boxes_;
    PairParams params_;
    std::optional<Tensor> table_, table_norms_, rows_, embeddings_, norms_, min_affinity_;
    py::array_t<int32_t> match_;
};

py::tuple associate_frame(const py::object& track_boxes, const py::object& max_distance,
                          const py::object& detection_boxes, const PairParams& params,
                          const py::object& table, const py::object& table_norms,
                          const py::object& rows, const py::object& embeddings,
                          const py::object& norms, const py::object& track_classes,
                          const py::object& detection_classes, const py::object& min_affinity) {
    Frame frame(track_boxes, max_distance, detection_boxes, params, table, table_norms, rows,
                embeddings, norms, track_classes, detection_classes, min_affinity);
    if (frame.table()) frame.table()->expect_on_cpu();
    thread_local Candidates pairs;  // keeps its memory for the next frame
    const Comparison comparison = frame.comparison(pairs);
    {
        const py::gil_scoped_release release;
        associate(comparison);
    }
    return frame.result(pairs);
}

int64_t comparison_bytes(int64_t tracks, int64_t detections) {
    constexpr int64_t most = std::numeric_limits<int32_t>::max();
    const auto expect = [](const char* name, int64_t count) {
        if (count < 0 || count > most)
            throw py::value_error(std::string(name) + ": expected 0 to " + std::to_string(most) +
                                  ", got " + std::to_string(count));
    };
    expect("tracks", tracks);
    expect("detections", detections);
    return cuda_comparison_bytes(tracks, detections);
}

// Types of the arguments of associate.
using FrameArguments =
    std::tuple<py::object, py::object, py::object, PairParams, py::object, py::object, py::object,
               py::object, py::object, py::object, py::object, py::object>;

py::list associate_frames_cuda(const std::vector<FrameArguments>& arguments,
                               const py::object& host_, const py::object& device_,
                               uintptr_t stream) {
    const Tensor host(host_, "host"), device(device_, "device");
    host.expect("uint8", {kAny}).expect_on_cpu().expect_writable();
    device.expect("uint8", {host.size()});
    std::vector<Frame> frames;
    frames.reserve(arguments.size());
    thread_local std::vector<Candidates> pairs;  // keep their memory for the next frame
    if (pairs.size() < arguments.size()) pairs.resize(arguments.size());
    std::vector<Comparison> comparisons;
    int64_t bytes = 0;
    for (const FrameArguments& some : arguments) {
        frames.push_back(std::make_from_tuple<Frame>(some));
        Frame& frame = frames.back();
        if (!frame.table()) throw py::value_error("table: expected an array on CUDA, got none");
        if (!frame.table()->cuda()) frame.table()->fail("an array on CUDA");
        frame.table()->expect_with(device);
        comparisons.push_back(frame.comparison(pairs[comparisons.size()]));
        const Comparison& c = comparisons.back();
        bytes += cuda_comparison_bytes(c.tracks.count, c.detections.count);
    }
    if (host.size() < bytes) host.fail("at least " + std::to_string(bytes) + " bytes");
    {
        const py::gil_scoped_release release;
        associate_cuda(comparisons, {host.data<unsigned char>(), device.data<unsigned char>(),
                                     host.size(), device.device_id(), to_stream(stream)});
    }
    py::list results;
    for (size_t i = 0; i < frames.size(); ++i) results.append(frames[i].result(pairs[i]));
    return results;
}

}  // namespace

void bind_association(py::module_& m, py::module_& testing) {
    testing.attr("MOST_PAIRS") = kMostPairs;
    testing.def("candidates", &candidates, py::arg("track_boxes"), py::arg("max_distance"),
                py::arg("detection_boxes"), py::arg("track_classes") = py::none(),
                py::arg("detection_classes") = py::none());
    testing.def("associate", &associate_frame, py::arg("track_boxes"), py::arg("max_distance"),
                py::arg("detection_boxes"), py::arg("params"), py::arg("table") = py::none(),
                py::arg("table_norms") = py::none(), py::arg("rows") = py::none(),
                py::arg("embeddings") = py::none(), py::arg("norms") = py::none(),
                py::arg("track_classes") = py::none(), py::arg("detection_classes") = py::none(),
                py::arg("min_affinity") = py::none());
    m.def("cuda_comparison_bytes", &comparison_bytes, py::arg("tracks"), py::arg("detections"));
    testing.def("associate_cuda", &associate_frames_cuda, py::arg("comparisons"), py::arg("host"),
                py::arg("device"), py::arg("stream"));
}

}  // namespace sslmot
