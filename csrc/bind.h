// What the files that bind the core to Python share.
#pragma once

#include <pybind11/numpy.h>
#include <pybind11/pybind11.h>

#include <cmath>

#include "candidates.h"

namespace sslmot {

namespace py = pybind11;

// Pairs, but for those at max_cost, as (row_begin, columns, values).
py::tuple to_arrays(const Candidates& all, double max_cost = NAN);

void bind_track_table(py::module_& m);

}  // namespace sslmot
