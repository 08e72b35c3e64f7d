// The native core as the Python module sslmot._core.
#include "bind.h"

PYBIND11_MODULE(_core, m) {
    m.doc() = "Native core of sslmot; sslmot/_core/*.pyi document it.";
    auto testing = m.def_submodule("_testing", "Parts of the core, for tests and benchmarks.");
    sslmot::bind_cost(m, testing);
    sslmot::bind_motion(m, testing);
    sslmot::bind_features(m, testing);
    sslmot::bind_boxes(m, testing);
    sslmot::bind_association(m, testing);
    sslmot::bind_assignment(m, testing);
    sslmot::bind_crop(m);
    sslmot::bind_track_table(m);
}
