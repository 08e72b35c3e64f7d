// Names, checks and docstrings of the table of tracks. Nothing is computed here.
#include <pybind11/pybind11.h>
#include <pybind11/stl.h>

#include <cmath>
#include <memory>
#include <string>

#include "bind.h"
#include "tensor.h"
#include "track_table.h"

namespace sslmot {

namespace {

template <class T>
py::array_t<T> array(const std::vector<T>& values) {
    return py::array_t<T>(static_cast<py::ssize_t>(values.size()), values.data());
}

template <class T>
py::array_t<T> array(const std::vector<T>& values, int64_t columns) {
    const auto n = static_cast<py::ssize_t>(values.size());
    return py::array_t<T>({columns ? n / columns : 0, static_cast<py::ssize_t>(columns)},
                          values.data());
}

const char* name_of(Stage stage) {
    switch (stage) {
        case Stage::appearance:
            return "appearance";
        case Stage::motion:
            return "motion";
        case Stage::fresh:
            return "new";
        case Stage::reidentified:
            return "recognised";
        default:
            return "gallery";
    }
}

// A step and what its pointers point to.
struct BoundStep : Step {
    py::object embeddings_, norms_;
};

std::unique_ptr<BoundStep> prepare(const TrackTable& table, const py::object& boxes_,
                                   const py::object& scores_, const py::object& classes_,
                                   const py::object& embeddings_, const py::object& norms_,
                                   const py::object& affine_, float zoom) {
    auto step = std::make_unique<BoundStep>();
    const Tensor boxes(boxes_, "boxes"), scores(scores_, "scores"), classes(classes_, "classes");
    boxes.expect("float32", {-1, 4}).expect_on_cpu();
    const int64_t n = boxes.shape(0);
    scores.expect("float32", {n}).expect_on_cpu();
    classes.expect("int32", {n}).expect_on_cpu();
    step->boxes.assign(boxes.data<const float>(), boxes.data<const float>() + 4 * n);
    step->scores.assign(scores.data<const float>(), scores.data<const float>() + n);
    step->classes.assign(classes.data<const int32_t>(), classes.data<const int32_t>() + n);
    if (!embeddings_.is_none() && n > 0) {
        const Tensor embeddings(embeddings_, "embeddings"), norms(norms_, "norms");
        const int64_t dim = table.feature_dim();
        embeddings.expect("float32", {n, dim ? dim : -1}).expect_on_cpu();
        norms.expect("float32", {n}).expect_on_cpu();
        step->embeddings = {embeddings.data<const float>(), norms.data<const float>(),
                            norms.data<const float>(), embeddings.shape(1)};
        step->embeddings_ = embeddings_, step->norms_ = norms_;
    }
    if (!affine_.is_none()) {
        const Tensor affine(affine_, "affine");
        affine.expect("float32", {2, 3}).expect_on_cpu();
        const auto* a = affine.data<const float>();
        step->moved = true;
        step->camera = {{{a[0], a[1]}, {a[3], a[4]}}, {a[2], a[5]}, zoom};
    }
    const py::gil_scoped_release release;
    table.prepare(*step);
    return step;
}

py::tuple rounds_of(const BoundStep& step, double gate_motion, double gate_both) {
    py::list rounds;
    for (const Round& round : step.rounds) {
        const double gate = round.stage == Stage::motion ? gate_motion : gate_both;
        rounds.append(py::make_tuple(name_of(round.stage), array(round.tracks),
                                     array(round.detections), array(round.match),
                                     to_arrays(round.pairs, gate)));
    }
    return py::tuple(rounds);
}

py::list newcomers_of(const BoundStep& step) {
    py::list all;
    for (const Newcomer& some : step.newcomers)
        if (some.id) all.append(py::make_tuple(
            some.id, some.detection, name_of(some.stage),
            std::isnan(some.affinity) ? py::object(py::none()) : py::object(py::float_(some.affinity))));
    return all;
}

}  // namespace

void bind_track_table(py::module_& m) {
    py::class_<TrackSettings>(m, "TrackSettings", "The settings of a tracker, as TrackTable takes them.")
        .def(py::init([](const PairParams& by_both, const PairParams& by_motion,
                         const PairParams& by_looks, float min_affinity, float lost_affinity,
                         float appearance_reach, float motion_reach, double walk, bool rescue,
                         float delta, float max_hidden, float low_score, float birth_overlap,
                         float sure_score, int64_t confirm, int64_t patience,
                         int64_t potential_patience, int64_t memory, bool kalman,
                         const MotionNoise& noise, bool reupdate) {
                 return TrackSettings{by_both,       by_motion,  by_looks,  min_affinity,
                                      lost_affinity, appearance_reach, motion_reach, walk, rescue,
                                      delta, max_hidden, low_score, birth_overlap, sure_score,
                                      confirm, patience, potential_patience, memory, kalman, noise,
                                      reupdate};
             }),
             py::kw_only(), py::arg("by_both"), py::arg("by_motion"), py::arg("by_looks"),
             py::arg("min_affinity"), py::arg("lost_affinity"), py::arg("appearance_reach"),
             py::arg("motion_reach"), py::arg("walk"), py::arg("rescue"), py::arg("delta"),
             py::arg("max_hidden"), py::arg("low_score"), py::arg("birth_overlap"),
             py::arg("sure_score"), py::arg("confirm"), py::arg("patience"),
             py::arg("potential_patience"), py::arg("memory"), py::arg("kalman"),
             py::arg("noise"), py::arg("reupdate"));

    py::class_<BoundStep>(m, "Step", "One frame on its way through a TrackTable.")
        .def_property_readonly("match", [](const BoundStep& s) { return array(s.match); })
        .def_property_readonly("ids", [](const BoundStep& s) { return array(s.ids); })
        .def_property_readonly("boxes", [](const BoundStep& s) { return array(s.boxes, 4); })
        .def_property_readonly("predicted", [](const BoundStep& s) { return array(s.predicted, 4); })
        .def("rounds", &rounds_of, py::arg("motion_gate"), py::arg("gate"))
        .def("newcomers", &newcomers_of);

    py::class_<TrackTable>(m, "TrackTable", "All that is kept of tracks between frames.")
        .def(py::init<const TrackSettings&>(), py::arg("settings"))
        .def("prepare", &prepare, py::arg("boxes"), py::arg("scores"), py::arg("classes"),
             py::arg("embeddings"), py::arg("norms"), py::arg("affine"), py::arg("zoom"))
        .def("associate",
             [](const TrackTable& table, BoundStep& step) {
                 const py::gil_scoped_release release;
                 TrackTable::associate({&table}, {&step});
             })
        .def("identify",
             [](const TrackTable& table, BoundStep& step) {
                 const py::gil_scoped_release release;
                 table.identify(step, false);
                 table.name(step, nullptr, 1);
             })
        .def("commit",
             [](TrackTable& table, BoundStep& step) {
                 const Report report = table.commit(step);
                 return py::make_tuple(array(report.ids), array(report.detections));
             })
        .def("reset", &TrackTable::reset)
        .def("__len__", &TrackTable::size);
}

}  // namespace sslmot
