// Names, checks and docstrings of the native core as `sslmot._core`. Nothing is computed here.
#include <pybind11/pybind11.h>
#include <pybind11/stl.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>
#include <optional>
#include <string>
#include <tuple>
#include <vector>

#include "assign.h"
#include "associate.h"
#include "associate_cuda.h"
#include "bind.h"
#include "candidates.h"
#include "cost.h"
#include "crop.h"
#include "detections.h"
#include "dot.h"
#include "motion.h"
#include "occlusion.h"
#include "overlap.h"
#include "tensor.h"

namespace sslmot {

// Pairs, but for those at max_cost, as (row_begin, columns, values).
py::tuple to_arrays(const Candidates& all, double max_cost) {
    const auto kept = [max_cost](float value) { return !(static_cast<double>(value) >= max_cost); };
    const auto count = std::count_if(all.values.begin(), all.values.end(), kept);
    py::array_t<int32_t> row_begin(static_cast<py::ssize_t>(all.row_begin.size()));
    py::array_t<int32_t> columns(count);
    py::array_t<float> values(count);
    int32_t* begin = row_begin.mutable_data();
    int32_t* const column = columns.mutable_data();
    float* const value = values.mutable_data();
    int32_t found = 0;
    *begin++ = found;
    for (size_t i = 0; i + 1 < all.row_begin.size(); ++i) {
        for (auto e = static_cast<size_t>(all.row_begin[i]);
             e < static_cast<size_t>(all.row_begin[i + 1]); ++e) {
            if (!kept(all.values[e])) continue;
            column[found] = all.columns[e];
            value[found++] = all.values[e];
        }
        *begin++ = found;
    }
    return py::make_tuple(row_begin, columns, values);
}

namespace {

constexpr int64_t kAny = -1;
// Columns that assign_pairs makes room for: it has no more than a pair each, but for columns that
// nothing can match.
constexpr int64_t kMostColumns = int64_t{1} << 20;
// Sides of a crop, and of the frame that it is cut out of: with them the work of a crop is bounded.
constexpr int64_t kLargestCrop = 4096, kLargestFrame = 65535;

void* to_stream(uintptr_t stream) { return reinterpret_cast<void*>(stream); }

// An argument that may be None.
std::optional<Tensor> optional(const py::object& object, const char* name) {
    if (object.is_none()) return std::nullopt;
    return Tensor(object, name);
}

template <class T>
const T* data_or_null(const std::optional<Tensor>& tensor) {
    return tensor ? tensor->data<const T>() : nullptr;
}

void expect_both_or_neither(const std::optional<Tensor>& one, const std::optional<Tensor>& other) {
    if (one.has_value() == other.has_value()) return;
    const Tensor& given = one ? *one : *other;
    throw py::value_error(given.name() + ": expected the same of both sides or of neither");
}

py::array_t<float> row_norms_of(const py::object& features_, const char* name) {
    const Tensor features(features_, name);
    features.expect("float32", {kAny, kAny}).expect_on_cpu();
    py::array_t<float> norms(features.shape(0));
    float* out = norms.mutable_data();
    int64_t bad = -1;
    {
        const py::gil_scoped_release release;
        bad = row_norms(features.data<const float>(), features.shape(0), features.shape(1), out);
    }
    if (bad >= 0)
        throw py::value_error(features.name() +
                              ": expected finite numbers and norms up to 1e18, got NaN, inf or "
                              "more in row " +
                              std::to_string(bad));
    return norms;
}

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

// The boxes, max_distance and classes of both sides of a frame, checked.
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
                     const py::object& detection_boxes, const PairParams& params,
                     const py::object& track_classes, const py::object& detection_classes) {
    const FrameBoxes boxes(track_boxes, max_distance, detection_boxes, track_classes,
                           detection_classes);
    Candidates found;
    {
        const py::gil_scoped_release release;
        find_candidates(boxes.tracks(), boxes.max_distance.data<const float>(), boxes.detections(),
                        params, found);
    }
    return to_arrays(found);
}

py::array_t<float> largest_overlaps(const py::object& boxes_, const py::object& others_,
                                    const py::object& classes_, const py::object& other_classes_) {
    const Tensor boxes(boxes_, "boxes"), others(others_, "others");
    boxes.expect("float32", {kAny, 4}).expect_on_cpu();
    others.expect("float32", {kAny, 4}).expect_on_cpu();
    const Tensor classes(classes_, "classes"), other_classes(other_classes_, "other_classes");
    classes.expect("int32", {boxes.shape(0)}).expect_on_cpu();
    other_classes.expect("int32", {others.shape(0)}).expect_on_cpu();
    py::array_t<float> overlap(boxes.shape(0));
    float* out = overlap.mutable_data();
    const py::gil_scoped_release release;
    find_overlaps(
        {boxes.data<const float>(), classes.data<const int32_t>(), boxes.shape(0)},
        {others.data<const float>(), other_classes.data<const int32_t>(), others.shape(0)}, out);
    return overlap;
}

// Rows into a table of features, checked to lie in it.
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

// The arguments of associate, checked, and its results.
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
        return py::make_tuple(match_, to_arrays(pairs, params_.max_cost));
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
    thread_local Candidates pairs;  // keeps its memory from frame to frame
    const Comparison comparison = frame.comparison(pairs);
    {
        const py::gil_scoped_release release;
        associate(comparison);
    }
    return frame.result(pairs);
}

template <class Number>
int64_t read_rows(const Tensor& rows, float* boxes, float* scores, int32_t* classes) {
    const py::gil_scoped_release release;
    return read_detections(rows.data<const Number>(), rows.shape(0), rows.shape(1), boxes, scores,
                           classes);
}

py::tuple read_detections_of(const py::object& rows_) {
    const Tensor rows(rows_, "rows");
    const bool wide = rows.dtype() == "float64";
    rows.expect(wide ? "float64" : "float32", {kAny, kAny}).expect_on_cpu();
    if (rows.shape(1) < 4 || rows.shape(1) > 6) rows.fail("4, 5 or 6 columns");
    const auto n = static_cast<py::ssize_t>(rows.shape(0));
    py::array_t<float> boxes({n, py::ssize_t{4}}), scores(n);
    py::array_t<int32_t> classes(n);
    const int64_t refused = wide ? read_rows<double>(rows, boxes.mutable_data(),
                                                     scores.mutable_data(), classes.mutable_data())
                                 : read_rows<float>(rows, boxes.mutable_data(),
                                                    scores.mutable_data(), classes.mutable_data());
    return py::make_tuple(boxes, scores, classes, refused);
}

void expect_misses(const Tensor& time_since_update, int64_t tracks) {
    time_since_update.expect("int64", {tracks}).expect_on_cpu();
    const auto* count = time_since_update.data<const int64_t>();
    for (int64_t i = 0; i < tracks; ++i)
        if (count[i] < 0)
            throw py::value_error("time_since_update: expected 0 or more, got " +
                                  std::to_string(count[i]) + " at " + std::to_string(i));
}

py::array_t<float> predict_boxes(const py::object& state_, const py::object& time_since_update_) {
    const Tensor state(state_, "state");
    state.expect("float32", {kAny, 5, 4}).expect_on_cpu();
    const Tensor time_since_update(time_since_update_, "time_since_update");
    expect_misses(time_since_update, state.shape(0));
    py::array_t<float> boxes({static_cast<py::ssize_t>(state.shape(0)), py::ssize_t{4}});
    float* out = boxes.mutable_data();
    const py::gil_scoped_release release;
    predict(state.data<const float>(), state.shape(0), time_since_update.data<const int64_t>(),
            out);
    return boxes;
}

void observe_boxes(const py::object& state_, const py::object& last_,
                   const py::object& time_since_update_, const py::object& rows_,
                   const py::object& boxes_, const py::object& columns_, const py::object& scores_,
                   const MotionNoise& noise, bool reupdate) {
    const Tensor state(state_, "state");
    state.expect("float32", {kAny, 5, 4}).expect_on_cpu().expect_writable();
    const int64_t tracks = state.shape(0);
    const Tensor last(last_, "last");
    last.expect("float32", {tracks, 4}).expect_on_cpu().expect_writable();
    const Tensor time_since_update(time_since_update_, "time_since_update");
    expect_misses(time_since_update, tracks);
    const Tensor boxes(boxes_, "boxes");
    boxes.expect("float32", {kAny, 4}).expect_on_cpu();
    const Tensor scores(scores_, "scores");
    scores.expect("float32", {boxes.shape(0)}).expect_on_cpu();
    const Tensor rows(rows_, "rows"), columns(columns_, "columns");
    rows.expect("int64", {kAny});
    const int64_t n = rows.shape(0);
    const Observations seen{boxes.data<const float>(), scores.data<const float>(),
                            expect_rows(rows, n, tracks), expect_rows(columns, n, boxes.shape(0)),
                            n};
    const py::gil_scoped_release release;
    observe(state.data<float>(), last.data<float>(), time_since_update.data<const int64_t>(), seen,
            noise, reupdate);
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

// Of the arguments of associate, in their order.
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
    thread_local std::vector<Candidates> pairs;  // keep their memory from frame to frame
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

PYBIND11_MODULE(_core, m) {
    m.doc() = "Native core of sslmot: association, assignment and crops.";
    m.attr("LARGEST_NORM") = static_cast<double>(kLargestNorm);
    m.attr("SMALLEST_NORM") = static_cast<double>(kSmallestNorm);
    m.attr("SMALLEST_MIX") = static_cast<double>(kSmallestMix);

    py::class_<PairParams>(m, "PairParams", "Settings of the cost of a pair (SSL-MOT, eq. 6-7).")
        .def(py::init([](float tau, float min_affinity, float appearance_weight,
                         float motion_weight, float shape_weight, float max_cost) {
                 return PairParams{tau,           min_affinity, appearance_weight,
                                   motion_weight, shape_weight, max_cost};
             }),
             py::kw_only(), py::arg("tau"), py::arg("min_affinity"), py::arg("appearance_weight"),
             py::arg("motion_weight"), py::arg("shape_weight"), py::arg("max_cost"))
        .def_readonly("max_cost", &PairParams::max_cost);

    py::class_<MotionNoise>(
        m, "MotionNoise",
        "Standard deviations, as shares of a box's height: of the process, for "
        "value and velocity of\na centre and for sizes a frame, and of the "
        "measurement; and the share of its variance that\na score of 1 takes away.")
        .def(py::init(
                 [](float value, float velocity, float size, float measurement, float by_score) {
                     return MotionNoise{value, velocity, size, measurement, by_score};
                 }),
             py::kw_only(), py::arg("value"), py::arg("velocity"), py::arg("size"),
             py::arg("measurement"), py::arg("by_score"));

    bind_track_table(m);

    m.def("cuda_device_count", &cuda_device_count,
          "Number of CUDA devices at hand: 0 without a driver, or in a build without CUDA.");

    m.def("row_norms", &row_norms_of, py::arg("embeddings"), py::arg("name") = "embeddings",
          "Euclidean norms (N,) float32 of the rows of (N, D) float32.\n\n"
          "Raises ValueError naming the first row with a NaN, an infinity or a norm above 1e18.");

    m.def(
        "cost", &cost, py::arg("track_features"), py::arg("detection_features"),
        py::arg("track_boxes"), py::arg("detection_boxes"), py::arg("params"), py::arg("out"),
        py::arg("max_distance") = py::none(), py::arg("track_classes") = py::none(),
        py::arg("detection_classes") = py::none(), py::arg("min_affinity") = py::none(),
        py::arg("stream") = 0,
        "Costs of all pairs (SSL-MOT, eq. 6-7), clamped at max_cost, for B independent "
        "problems.\n\n"
        "Features (B, T, D) and (B, N, D), of norms up to 1e18, or both None; boxes (B, T, 4) and\n"
        "(B, N, 4) float32; max_distance and min_affinity (B, T) float32; classes (B, T) and\n"
        "(B, N) int32; out (B, T, N) float32. All on the CPU with float32 features, or all on\n"
        "one CUDA device with float32,\n"
        "float16 or bfloat16 ones; there the call launches on `stream` and does not wait.");

    m.def(
        "candidates", &candidates, py::arg("track_boxes"), py::arg("max_distance"),
        py::arg("detection_boxes"), py::arg("params"), py::arg("track_classes") = py::none(),
        py::arg("detection_classes") = py::none(),
        "Pairs of one class within each track's max_distance: (row_begin, columns, distances).\n\n"
        "Raises ValueError where there are more than MOST_PAIRS; so does associate.");

    m.def("assign", &assign, py::arg("cost"), py::arg("max_cost"),
          "Minimum-cost matching of a dense (T, N) matrix, float32 or float64: (T,) int32, the\n"
          "column of each row, -1 for rows left out. Pairs that cost `max_cost` or more are not "
          "made.");

    m.def("assign_pairs", &assign_pairs, py::arg("row_begin"), py::arg("columns"), py::arg("costs"),
          py::arg("n_columns"), py::arg("max_cost"),
          "As assign, from candidate pairs, none twice: those of row i are row_begin[i] up to\n"
          "row_begin[i + 1].");

    m.def(
        "associate", &associate_frame, py::arg("track_boxes"), py::arg("max_distance"),
        py::arg("detection_boxes"), py::arg("params"), py::arg("table") = py::none(),
        py::arg("table_norms") = py::none(), py::arg("rows") = py::none(),
        py::arg("embeddings") = py::none(), py::arg("norms") = py::none(),
        py::arg("track_classes") = py::none(), py::arg("detection_classes") = py::none(),
        py::arg("min_affinity") = py::none(),
        "A frame on the CPU: (T,) int32, the detection of each track or -1, and what the pairs\n"
        "cost that are below max_cost: (row_begin, columns, costs).\n\n"
        "Track i has the feature table[rows[i]], of norm table_norms[rows[i]]. Without table and\n"
        "embeddings motion alone decides.");

    m.attr("MOST_PAIRS") = kMostPairs;
    m.def("largest_overlaps", &largest_overlaps, py::arg("boxes"), py::arg("others"),
          py::arg("classes"), py::arg("other_classes"),
          "Of each box (N, 4) float32 xyxy the largest intersection over union with one of the\n"
          "others (M, 4) of its class, int32: (N,) float32.");

    m.attr("LARGEST_NUMBER") = kLargestNumber;
    m.def("read_detections", &read_detections_of, py::arg("rows"),
          "(N, 4), (N, 5) or (N, 6) float32 or float64, taken apart: boxes (N, 4) float32, scores\n"
          "(N,) float32, classes (N,) int32, and the first row that is refused, -1 for none: a\n"
          "number that is not finite or above 1e9, x2 < x1, y2 < y1, or a class that is no\n"
          "integer. From that row on the arrays are of no use.");

    m.def("predict", &predict_boxes, py::arg("state"), py::arg("time_since_update"),
          "Where tracks of a Kalman filter (T, 5, 4) float32 are expected: (T, 4) float32 xyxy.\n\n"
          "State is of each track's last detection, `time_since_update` (T,) int64, 0 or more, the "
          "frames\n"
          "since.");

    m.def("observe", &observe_boxes, py::arg("state"), py::arg("last"),
          py::arg("time_since_update"), py::arg("rows"), py::arg("boxes"), py::arg("columns"),
          py::arg("scores"), py::arg("noise"), py::arg("reupdate"),
          "Takes detections into the state, and into the last boxes (T, 4) xyxy, in place:\n"
          "boxes[columns] are those of tracks rows.\n\n"
          "scores (N,) float32, of each detection: the higher, the smaller its measured variance.\n"
          "With `reupdate` a missed track is taken along the line from its last box.");

    m.def("cuda_comparison_bytes", &comparison_bytes, py::arg("tracks"), py::arg("detections"),
          "Bytes that a comparison can need of each buffer of associate_cuda.");

    m.def("associate_cuda", &associate_frames_cuda, py::arg("comparisons"), py::arg("host"),
          py::arg("device"), py::arg("stream"),
          "As associate for each of several frames, given as tuples of its arguments, with table,\n"
          "table_norms, embeddings and norms on one CUDA device and the rest on the CPU. host and\n"
          "device are buffers of one size, uint8: page-locked memory and memory of that device.\n"
          "Launches on `stream` once for all candidates, once for each frame whose pairs are\n"
          "mostly candidates, and waits for it once.");

    m.def("occluded_shares", &occluded_shares, py::arg("boxes"),
          "Of each box (N, 4) the largest share that lies behind one other, whose lower edge is\n"
          "lower or as low: (N,) float32.");

    m.def("ema_update", &ema_update_rows, py::arg("table"), py::arg("table_norms"), py::arg("rows"),
          py::arg("embeddings"), py::arg("norms"), py::arg("columns"), py::arg("delta"),
          py::arg("stream") = 0,
          "table[rows] = unit(delta * table[rows] + (1 - delta) * unit(embeddings[columns])).\n\n"
          "All on the CPU, or all on one CUDA device, where rows and columns are not checked, and\n"
          "the call launches on `stream` and does not wait.");

    m.def(
        "crop", &crop, py::arg("frame"), py::arg("boxes"), py::arg("out"), py::arg("mean"),
        py::arg("std"), py::arg("bgr_to_rgb"), py::arg("stream") = 0,
        "Boxes of a frame, resized with antialias and normalised: (value / 255 - mean) / std.\n\n"
        "frame (H, W, 3) uint8, rows may be strided; boxes (N, 4) float32 xyxy pixels; out\n"
        "(N, 3, h, w) float32. All on the CPU, or all on one CUDA device, where the call launches\n"
        "on `stream` and does not wait.");
}

}  // namespace sslmot
