// Bindings of the table of tracks and its steps.
#include <pybind11/pybind11.h>
#include <pybind11/stl.h>
#include <pybind11/typing.h>

#include <algorithm>
#include <cmath>
#include <memory>
#include <string>
#include <thread>
#include <utility>

#include "bind.h"
#include "cascade.h"
#include "dot.h"
#include "identities.h"
#include "tensor.h"
#include "track_table.h"

namespace sslmot {

namespace {

const char* name_of(Cue cue) { return cue == Cue::appearance ? "appearance" : "motion"; }

const char* name_of(IdSource source) {
    switch (source) {
        case IdSource::started:
            return "new";
        case IdSource::reidentified:
            return "reidentified";
        default:
            return "gallery";
    }
}

// Features on CUDA, and the owners of their memory.
struct BoundDevice : DeviceFeatures {
    std::vector<py::object> tensors;
};

// A table, and the context that its tracker keeps with it. Both change in commit, restore and
// reset.
struct BoundTable : TrackTable {
    using TrackTable::TrackTable;
    py::object context = py::none();
    std::thread::id holder;  // the thread in a Hold
};

// A step, its table, and the owners of the memory it points to.
struct BoundStep : Step {
    const BoundTable* table = nullptr;  // until commit
    bool gallery = false;               // assigns ids
    std::vector<float> measured;        // norms of embeddings in host memory
    py::object table_, embeddings_, norms_, norms_here_, device_;
};

// Holds tables for one thread until the `with` block ends, or the Hold is deleted: an interrupt may
// skip the end of the block. A thread may hold again what it holds. The GIL guards `holder`.
struct Hold {
    explicit Hold(py::typing::List<BoundTable> these) : owner(std::move(these)) {
        for (const py::handle table : owner) tables.push_back(&table.cast<BoundTable&>());
    }
    Hold(const Hold&) = delete;
    Hold& operator=(const Hold&) = delete;
    ~Hold() { exit(); }

    void enter() {
        const auto me = std::this_thread::get_id();
        for (const BoundTable* const table : tables)
            if (table->holder != std::thread::id() && table->holder != me)
                throw std::runtime_error(
                    "tracker: expected one thread at a time, got a second one in a step");
        // A table that an outer hold of this thread has stays with it.
        for (BoundTable* const table : tables)
            if (table->holder != me) taken.push_back(table);
        for (BoundTable* const table : taken) table->holder = me;
    }
    void exit() {
        for (BoundTable* const table : taken) table->holder = {};
        taken.clear();
    }

    py::list owner;
    std::vector<BoundTable*> tables, taken;
};

std::unique_ptr<BoundDevice> device_features(const py::object& values_, const py::object& norms_,
                                             const py::object& norms_here_,
                                             const py::object& scratch_,
                                             const py::object& scratch_norms_,
                                             const py::object& host_, const py::object& device_,
                                             uintptr_t stream) {
    const Tensor values(values_, "values"), norms(norms_, "norms");
    const Tensor norms_here(norms_here_, "norms_here"), scratch(scratch_, "scratch");
    const Tensor scratch_norms(scratch_norms_, "scratch_norms");
    const Tensor host(host_, "host"), device(device_, "device");
    values.expect("float32", {-1, -1});
    if (!values.cuda()) values.fail("an array on CUDA");
    const int64_t slots = values.shape(0), dim = values.shape(1);
    norms.expect("float32", {slots}).expect_with(values);
    norms_here.expect("float32", {slots}).expect_on_cpu().expect_writable();
    scratch.expect("float32", {-1, dim}).expect_with(values);
    scratch_norms.expect("float32", {scratch.shape(0)}).expect_with(values);
    host.expect("uint8", {-1}).expect_on_cpu().expect_writable();
    device.expect("uint8", {host.size()}).expect_with(values);
    auto bound = std::make_unique<BoundDevice>();
    static_cast<DeviceFeatures&>(*bound) = {
        values.data<float>(),
        norms.data<float>(),
        norms_here.data<float>(),
        scratch.data<float>(),
        scratch_norms.data<float>(),
        slots,
        scratch.shape(0),
        dim,
        {host.data<unsigned char>(), device.data<unsigned char>(), host.size(), values.device_id(),
         reinterpret_cast<void*>(stream)}};
    bound->tensors = {values_, norms_, norms_here_, scratch_, scratch_norms_, host_, device_};
    return bound;
}

std::unique_ptr<BoundStep> prepare(const py::object& table_, const Detections& detections,
                                   bool gallery, const py::object& embeddings_, const char* name,
                                   const py::object& norms_, const py::object& norms_here_,
                                   const py::object& device_, const py::object& affine_, float zoom,
                                   double elapsed, bool pause) {
    const auto& table = table_.cast<const BoundTable&>();
    auto step = std::make_unique<BoundStep>();
    step->table = &table, step->table_ = table_, step->gallery = gallery;
    static_cast<Detections&>(*step) = detections;
    const int64_t n = detections.count();
    if (!device_.is_none()) {
        const auto& device = device_.cast<const BoundDevice&>();
        if (device.slots < static_cast<int64_t>(table.slots_with(step->scores.size())) ||
            device.rows < n)
            throw py::value_error("device: expected room for all tracks, got too little");
        step->device = &device, step->device_ = device_;
    }
    if (!embeddings_.is_none()) {
        const Tensor embeddings(embeddings_, name);
        const int64_t dim = table.feature_dim();
        embeddings.expect("float32", {n, dim ? dim : -1});
        if (embeddings.cuda() != (step->device != nullptr))
            embeddings.fail("an array where the table's features are");
        step->embeddings = {embeddings.data<const float>(), nullptr, nullptr, embeddings.shape(1)};
        step->embeddings_ = embeddings_;
        if (embeddings.cuda()) {
            const Tensor norms(norms_, "norms"), norms_here(norms_here_, "norms_here");
            norms.expect("float32", {n}).expect_with(embeddings);
            norms_here.expect("float32", {n}).expect_on_cpu();
            step->embeddings.norms = norms.data<const float>();
            step->embeddings.norms_here = norms_here.data<const float>();
            step->norms_ = norms_, step->norms_here_ = norms_here_;
        } else {
            step->measured = norms_of(embeddings);
            step->embeddings.norms = step->embeddings.norms_here = step->measured.data();
        }
    }
    if (!affine_.is_none()) {
        const Tensor affine(affine_, "affine");
        affine.expect("float32", {2, 3}).expect_on_cpu();
        const auto* a = affine.data<const float>();
        step->camera = CameraMotion{{{a[0], a[1]}, {a[3], a[4]}}, {a[2], a[5]}, zoom};
    }
    step->elapsed = elapsed, step->pause = pause;
    const py::gil_scoped_release release;
    table.prepare(*step);
    return step;
}

void associate_bound(const std::vector<BoundStep*>& steps) {
    std::vector<const TrackTable*> tables;
    for (const BoundStep* const step : steps) {
        if (!step || std::count(steps.begin(), steps.end(), step) > 1)
            throw py::value_error("steps: expected steps, each once");
        if (!step->table) throw std::logic_error("step: expected one before commit, got one after");
        tables.push_back(step->table);
    }
    const py::gil_scoped_release release;
    associate_steps(tables, {steps.begin(), steps.end()});
    for (BoundStep* const step : steps) {
        reidentify(*step->table, *step, step->gallery);
        if (step->gallery) continue;
        assign_ids(*step->table, *step, false, nullptr, 1);
        assign_ids(*step->table, *step, true, nullptr, 1);
    }
}

py::array_t<int64_t> rows_without_id(const BoundTable& table, const BoundStep& step,
                                     bool new_tracks) {
    const std::vector<size_t> rows = without_id(table, step, new_tracks);
    return to_array(std::vector<int64_t>(rows.begin(), rows.end()));
}

void assign_ids_from(const BoundTable& table, BoundStep& step, bool new_tracks,
                     const py::object& known_, int64_t first_id) {
    const Tensor known(known_, "known");
    const auto count = static_cast<int64_t>(without_id(table, step, new_tracks).size());
    known.expect("int64", {count}).expect_on_cpu();
    for (int64_t k = 0; k < count; ++k) {
        const int64_t id = known.data<const int64_t>()[k];
        if (id < 0 || id > kLargestId)
            throw py::value_error("known: expected 0 to " + std::to_string(kLargestId) + ", got " +
                                  std::to_string(id));
    }
    assign_ids(table, step, new_tracks, known.data<const int64_t>(), first_id);
}

// (ids, boxes, scores, classes, detections) of the confirmed tracks in the frame.
py::tuple commit(BoundTable& table, BoundStep& step, const py::object& context) {
    const Report report = table.commit(step);
    table.context = context;
    // Results keep the step, for explanations, maybe for a whole video: drop its large parts.
    step.embeddings = {}, step.device = nullptr, step.table = nullptr;
    step.state = {}, step.gaps = {}, step.features = {}, step.feature_norms = {};
    step.measured = {};
    step.table_ = step.embeddings_ = step.norms_ = step.norms_here_ = step.device_ = {};
    const auto n = static_cast<py::ssize_t>(report.ids.size());
    py::array_t<float> boxes({n, py::ssize_t{4}}), scores(n);
    py::array_t<int32_t> classes(n);
    for (size_t k = 0; k < report.detections.size(); ++k) {
        const auto j = static_cast<size_t>(report.detections[k]);
        std::copy_n(&step.boxes[4 * j], 4, boxes.mutable_data() + 4 * k);
        scores.mutable_data()[k] = step.scores[j];
        classes.mutable_data()[k] = step.classes[j];
    }
    return py::make_tuple(to_array(report.ids), std::move(boxes), std::move(scores),
                          std::move(classes), to_array(report.detections));
}

// (ids, boxes, classes) of the confirmed tracks, predicted `elapsed` seconds after the last step.
py::tuple predict_tracks(const BoundTable& table, double elapsed) {
    const TrackColumns& tracks = table.tracks();
    const std::vector<float> all = table.predict(elapsed);
    std::vector<int64_t> ids;
    std::vector<float> boxes;
    std::vector<int32_t> classes;
    for (size_t i = 0; i < tracks.size(); ++i) {
        const double age = tracks.time_since_update[i] + elapsed;
        if (tracks.ids[i] == 0 || !within(age, table.settings().max_age)) continue;
        ids.push_back(tracks.ids[i]), classes.push_back(tracks.classes[i]);
        boxes.insert(boxes.end(), &all[4 * i], &all[4 * i] + 4);
    }
    return py::make_tuple(to_array(ids), to_array(boxes, 4), to_array(classes));
}

// (ids, slots) of the tracks that miss their first detection in this frame.
py::tuple just_lost(const BoundTable& table, const BoundStep& step) {
    table.expect_current(step, true);
    std::vector<int64_t> ids, slots;
    const TrackColumns& tracks = table.tracks();
    for (size_t i = 0; i < tracks.size(); ++i) {
        const int64_t id = tracks.ids[i];
        const bool ended = step.ended.count(id) > 0;
        if (step.match[i] < 0 && tracks.time_since_update[i] <= 0.0 && id > 0 && !ended)
            ids.push_back(id), slots.push_back(tracks.slots[i]);
    }
    return py::make_tuple(to_array(ids), to_array(slots));
}

// The ids that have a detection in this frame.
py::array_t<int64_t> in_view(const BoundTable& table, const BoundStep& step) {
    table.expect_current(step, true);
    std::vector<int64_t> ids;
    for (size_t i = 0; i < table.tracks().size(); ++i)
        if (step.match[i] >= 0 && table.tracks().ids[i] > 0) ids.push_back(table.tracks().ids[i]);
    for (const Confirmation& some : step.confirmations)
        if (some.id) ids.push_back(some.id);
    return to_array(ids);
}

py::dict columns_of(const TrackColumns& tracks, size_t numbers) {
    py::dict d;
    d["ids"] = to_array(tracks.ids), d["hits"] = to_array(tracks.hits);
    d["time_since_update"] = to_array(tracks.time_since_update);
    d["probation"] = to_array(tracks.probation);
    d["feature_updates"] = to_array(tracks.feature_updates), d["slots"] = to_array(tracks.slots);
    d["classes"] = to_array(tracks.classes), d["boxes"] = to_array(tracks.boxes, 4);
    d["state"] = to_array(tracks.state, static_cast<int64_t>(numbers));
    return d;
}

template <class T>
std::vector<T> column(const py::dict& d, const char* name, const char* dtype, int64_t count,
                      int64_t width = 0) {
    if (!d.contains(name)) throw py::value_error(std::string(name) + ": expected it, got none");
    const Tensor values(d[name], name);
    values.expect(dtype, width ? std::vector<int64_t>{count, width} : std::vector<int64_t>{count})
        .expect_on_cpu();
    const T* const data = values.data<const T>();
    return std::vector<T>(data, data + values.size());
}

TrackColumns columns_from(const py::dict& d, size_t numbers, bool lost) {
    if (!d.contains("ids")) throw py::value_error("ids: expected them, got none");
    const Tensor ids(d["ids"], "ids");
    ids.expect("int64", {-1});
    const int64_t n = ids.shape(0);
    TrackColumns c;
    c.ids = column<int64_t>(d, "ids", "int64", n);
    c.hits = column<int64_t>(d, "hits", "int64", n);
    c.time_since_update = column<double>(d, "time_since_update", "float64", n);
    c.probation = column<double>(d, "probation", "float64", n);
    c.feature_updates = column<int64_t>(d, "feature_updates", "int64", n);
    c.classes = column<int32_t>(d, "classes", "int32", n);
    c.boxes = column<float>(d, "boxes", "float32", n, 4);
    c.state = column<float>(d, "state", "float32", n, static_cast<int64_t>(numbers));
    constexpr int64_t most = int64_t{1} << 62;
    const auto expect = [&](const char* name, const std::vector<int64_t>& values, int64_t least,
                            int64_t largest) {
        for (const int64_t value : values)
            if (value < least || value > largest)
                throw py::value_error(std::string(name) + ": expected " + std::to_string(least) +
                                      " to " + std::to_string(largest) + ", got " +
                                      std::to_string(value));
    };
    expect("ids", c.ids, lost ? 1 : 0, kLargestId), expect("hits", c.hits, 0, most);
    for (const double seconds : c.time_since_update)
        if (!(seconds < 1e18) || !(lost ? seconds > 0.0 : seconds >= 0.0))
            throw py::value_error(std::string("time_since_update: expected ") +
                                  (lost ? "seconds above 0" : "0 or more seconds") + ", got " +
                                  std::to_string(seconds));
    for (size_t i = 0; i < c.size(); ++i)
        if (const double most_left = c.ids[i] == 0 ? kProbation : 0.0;
            !(c.probation[i] >= 0.0 && c.probation[i] <= most_left))
            throw py::value_error("probation: expected seconds, 0 to " + std::to_string(most_left) +
                                  ", got " + std::to_string(c.probation[i]));
    expect("feature_updates", c.feature_updates, 0, most);
    for (const auto& [name, values] : {std::pair{"boxes", &c.boxes}, std::pair{"state", &c.state}})
        for (const float value : *values)
            if (!std::isfinite(value))
                throw py::value_error(std::string(name) + ": expected finite numbers, got " +
                                      std::to_string(value));
    return c;
}

// scale, new_density, low_density, frames, the likelihoods; count, sum and sum of squares of the
// genuine cosines.
py::array_t<double> clip_of(const BoundTable& table) {
    const ClipMotion& clip = table.clip();
    std::vector<double> all{clip.scale, clip.new_density, clip.low_density, clip.frames};
    all.insert(all.end(), clip.likelihood.begin(), clip.likelihood.end());
    const Genuines& genuines = table.genuines();
    all.insert(all.end(), {genuines.count, genuines.sum, genuines.squares});
    return to_array(all);
}

std::pair<ClipMotion, Genuines> clip_from(const py::object& clip_) {
    const Tensor values(clip_, "clip");
    values.expect("float64", {7 + static_cast<int64_t>(ClipMotion::kScales)}).expect_on_cpu();
    const auto* const v = values.data<const double>();
    ClipMotion clip;
    clip.scale = v[0], clip.new_density = v[1], clip.low_density = v[2], clip.frames = v[3];
    std::copy_n(v + 4, ClipMotion::kScales, clip.likelihood.begin());
    const auto* const cosines = v + 4 + ClipMotion::kScales;
    const Genuines genuines{cosines[0], cosines[1], cosines[2]};
    // Of cosines, the mean and the mean square are at most 1.
    const double most = 1.001 * genuines.count;
    bool well = genuines.count >= 0.0 && std::fabs(genuines.sum) <= most &&
                genuines.squares >= 0.0 && genuines.squares <= most;
    well &= clip.scale >= 0.01 && clip.scale <= 100.0 &&
            std::min(clip.new_density, clip.low_density) >= ClipMotion::kLeastDensity &&
            clip.frames >= 0.0;
    for (int64_t k = 0; k < values.size(); ++k) well &= std::fabs(v[k]) < 1e9;
    if (!well)
        throw py::value_error(
            "clip: expected a scale of 0.01 to 100, densities of 1e-5 or more, 0 or more frames, "
            "finite likelihoods, and sums of cosines");
    return {clip, genuines};
}

// Everything is checked before the table changes.
void restore(BoundTable& table, const py::dict& tracks_, const py::dict& lost_,
             const py::object& features_, int64_t next_id, const py::object& impostors_,
             const py::object& clip_, const py::object& context) {
    const auto [clip, genuines] = clip_from(clip_);
    TrackColumns tracks = columns_from(tracks_, table.state_numbers(), false);
    TrackColumns lost = columns_from(lost_, table.state_numbers(), true);
    const auto count = static_cast<int64_t>(tracks.size() + lost.size());
    std::vector<int64_t> ids = tracks.ids;
    ids.insert(ids.end(), lost.ids.begin(), lost.ids.end());
    std::sort(ids.begin(), ids.end());
    for (size_t k = 1; k < ids.size(); ++k)
        if (ids[k] > 0 && ids[k] == ids[k - 1])
            throw py::value_error("ids: expected each once, got " + std::to_string(ids[k]) +
                                  " twice");
    if (next_id < 1 || (!ids.empty() && next_id <= ids.back()))
        throw py::value_error("next_id: expected more than all ids, got " +
                              std::to_string(next_id));
    if (next_id > kLargestId + 1)
        throw py::value_error("next_id: expected at most " + std::to_string(kLargestId + 1) +
                              ", got " + std::to_string(next_id));
    const Tensor impostors(impostors_, "impostors");
    impostors.expect("int64", {Impostors::kBins}).expect_on_cpu();
    Impostors::Counts counts;
    std::copy_n(impostors.data<const int64_t>(), counts.size(), counts.begin());
    for (const int64_t number : counts)
        if (number < 0 || number > Impostors::kMostImpostors)
            throw py::value_error("impostors: expected numbers of 0 to " +
                                  std::to_string(Impostors::kMostImpostors) + ", got " +
                                  std::to_string(number));
    std::vector<float> features, norms;
    int64_t dim = 0;
    if (!features_.is_none()) {
        const Tensor values(features_, "features");
        values.expect("float32", {count, -1}).expect_on_cpu();
        dim = values.shape(1);
        features.assign(values.data<const float>(), values.data<const float>() + values.size());
        norms.resize(static_cast<size_t>(count));
        row_norms(features.data(), count, dim, norms.data());
        for (float& norm : norms) {
            // The tolerance of a unit vector in a file.
            if (norm != 0.0F && !(std::fabs(norm - 1.0F) < 1e-3F))
                throw py::value_error("features: expected rows of length 1 or 0, got " +
                                      std::to_string(norm));
            norm = norm > 0.0F ? 1.0F : 0.0F;
        }
    }
    table.restore(std::move(tracks), std::move(lost), std::move(features), std::move(norms), dim,
                  next_id, counts, genuines, clip);
    table.context = context;
}

py::array_t<float> read_features(const BoundTable& table, const py::object& slots_) {
    const Tensor slots(slots_, "slots");
    slots.expect("int64", {-1}).expect_on_cpu();
    const auto dim = static_cast<py::ssize_t>(table.feature_dim());
    py::array_t<float> out({static_cast<py::ssize_t>(slots.size()), dim});
    for (int64_t k = 0; k < slots.size(); ++k) {
        const int64_t slot = slots.data<const int64_t>()[k];
        if (slot < 0 || slot >= static_cast<int64_t>(table.slots_with(0)))
            throw py::value_error("slots: expected those of tracks, got " + std::to_string(slot));
        table.read_feature(slot, out.mutable_data() + k * dim);
    }
    return out;
}

py::tuple rounds_of(const BoundStep& step) {
    py::list rounds;
    for (const Round& round : step.rounds)
        rounds.append(py::make_tuple(name_of(round.cue), to_array(round.tracks),
                                     to_array(round.detections), to_array(round.match),
                                     to_arrays(round.pairs), to_array(round.cosines)));
    return py::tuple(rounds);
}

py::list confirmations_of(const BoundStep& step) {
    py::list all;
    for (const Confirmation& some : step.confirmations)
        if (some.id)
            all.append(py::make_tuple(some.id, some.detection, name_of(some.source),
                                      std::isnan(some.affinity)
                                          ? py::object(py::none())
                                          : py::object(py::float_(some.affinity))));
    return all;
}

}  // namespace

void bind_track_table(py::module_& m) {
    m.attr("LARGEST_ID") = kLargestId;
    py::class_<TrackSettings>(m, "TrackSettings",
                              "The settings of a tracker, as TrackTable takes them.")
        .def(py::init([](const PairParams& by_both, const PairParams& by_motion,
                         const PairParams& by_appearance, double reid_max_speed, float ema,
                         float max_occlusion, float high_score, float new_track_max_iou,
                         float instant_confirm_score, int64_t min_hits, double max_age,
                         double tentative_max_age, double reid_max_age, double reid_false_alarms,
                         bool kalman, const MotionNoise& noise, bool class_agnostic) {
                 return TrackSettings{by_both,
                                      by_motion,
                                      by_appearance,
                                      reid_max_speed,
                                      ema,
                                      max_occlusion,
                                      high_score,
                                      new_track_max_iou,
                                      instant_confirm_score,
                                      min_hits,
                                      max_age,
                                      tentative_max_age,
                                      reid_max_age,
                                      reid_false_alarms,
                                      kalman,
                                      noise,
                                      class_agnostic};
             }),
             py::kw_only(), py::arg("by_both"), py::arg("by_motion"), py::arg("by_appearance"),
             py::arg("reid_max_speed"), py::arg("ema"), py::arg("max_occlusion"),
             py::arg("high_score"), py::arg("new_track_max_iou"), py::arg("instant_confirm_score"),
             py::arg("min_hits"), py::arg("max_age"), py::arg("tentative_max_age"),
             py::arg("reid_max_age"), py::arg("reid_false_alarms"), py::arg("kalman"),
             py::arg("noise"), py::arg("class_agnostic"));

    py::class_<BoundStep>(m, "Step", "One frame on its way through a TrackTable.")
        .def_property_readonly("match", [](const BoundStep& s) { return to_array(s.match); })
        .def_property_readonly("ids", [](const BoundStep& s) { return to_array(s.ids); })
        .def_property_readonly("boxes", [](const BoundStep& s) { return to_array(s.boxes, 4); })
        .def_property_readonly("predicted",
                               [](const BoundStep& s) { return to_array(s.predicted, 4); })
        .def_property_readonly("confirmed_ids",
                               [](const BoundStep& s) {
                                   std::vector<int64_t> ids;
                                   for (const Confirmation& some : s.confirmations)
                                       ids.push_back(some.id);
                                   return to_array(ids);
                               })
        .def_property_readonly("features",
                               [](const BoundStep& s) {
                                   const auto n = static_cast<int64_t>(s.feature_norms.size());
                                   const auto all = static_cast<int64_t>(s.features.size());
                                   return to_array(s.features, n ? all / n : 1);
                               })
        .def("rounds", &rounds_of)
        .def("confirmations", &confirmations_of);

    py::class_<BoundDevice>(m, "DeviceFeatures", "The feature table of a tracker on CUDA.")
        .def(py::init(&device_features), py::arg("values"), py::arg("norms"), py::arg("norms_here"),
             py::arg("scratch"), py::arg("scratch_norms"), py::arg("host"), py::arg("device"),
             py::arg("stream"));

    py::class_<BoundTable>(m, "TrackTable", "All that is kept of tracks between frames.")
        .def(py::init<const TrackSettings&>(), py::arg("settings"))
        .def("prepare", &prepare, py::arg("detections"), py::arg("gallery") = false,
             py::arg("embeddings") = py::none(), py::arg("name") = "embeddings",
             py::arg("norms") = py::none(), py::arg("norms_here") = py::none(),
             py::arg("device") = py::none(), py::arg("affine") = py::none(), py::arg("zoom") = 1.0F,
             py::arg("elapsed") = 1.0 / 30.0, py::arg("pause") = false)
        .def("predict", &predict_tracks, py::arg("elapsed"))
        .def("without_id", &rows_without_id, py::arg("step"), py::arg("new_tracks"))
        .def("assign_ids", &assign_ids_from, py::arg("step"), py::arg("new_tracks"),
             py::arg("known"), py::arg("first_id"))
        .def("commit", &commit, py::arg("step"), py::arg("context"))
        .def("reset",
             [](BoundTable& table) {
                 table.reset();
                 table.context = py::none();
             })
        .def("restore", &restore, py::arg("tracks"), py::arg("lost"), py::arg("features"),
             py::arg("next_id"), py::arg("impostors"), py::arg("clip"), py::arg("context"))
        .def("in_view", &in_view, py::arg("step"))
        .def("just_lost", &just_lost, py::arg("step"))
        .def("read_features", &read_features, py::arg("slots"))
        .def("slots_with", &BoundTable::slots_with, py::arg("more"))
        .def_property_readonly(
            "tracks", [](const BoundTable& t) { return columns_of(t.tracks(), t.state_numbers()); })
        .def_property_readonly(
            "lost", [](const BoundTable& t) { return columns_of(t.lost(), t.state_numbers()); })
        .def_property_readonly("feature_dim", &BoundTable::feature_dim)
        .def_property_readonly("next_id", &BoundTable::next_id)
        .def_property_readonly(
            "impostors",
            [](const BoundTable& t) {
                const Impostors::Counts& counts = t.impostors().counts();
                return to_array(std::vector<int64_t>(counts.begin(), counts.end()));
            })
        .def_property_readonly("clip", &clip_of)
        .def(
            "set_context", [](BoundTable& t, const py::object& context) { t.context = context; },
            py::arg("context"))
        .def_property_readonly("context", [](const BoundTable& t) { return t.context; })
        .def_property_readonly("lost_count", [](const BoundTable& t) { return t.lost().size(); })
        .def("__len__", [](const BoundTable& t) { return t.tracks().size(); });

    py::class_<Hold>(m, "Hold", "Holds tables for one thread: RuntimeError in a second one.")
        .def(py::init<py::typing::List<BoundTable>>(), py::arg("tables"))
        .def("__enter__", &Hold::enter)
        .def("__exit__", [](Hold& hold, const py::args&) { hold.exit(); });

    m.def("cuda_update_bytes", &cuda_update_bytes, py::arg("updates"),
          "Bytes that an update of features can need of each buffer of DeviceFeatures.");

    m.def("associate_steps", &associate_bound, py::arg("steps"),
          "Match the tracks of each step's table with its detections.");
}

}  // namespace sslmot
