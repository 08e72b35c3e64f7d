// Minimum-cost matching with a cost limit, of a dense matrix or of candidate pairs.
//
// An unmatched row costs `max_cost`. So no pair that costs as much or more is ever matched, and the
// matching minimises
//     sum of matched costs + max_cost * number of unmatched rows.
// With costs clamped at max_cost this is the rectangular assignment problem.
//
// The method of Jonker and Volgenant (1987): bids settle most rows, shortest augmenting paths the
// rest. Both follow candidate pairs only and stay within the connected component of a row: the
// sizes of the components decide the time, not the size of the matrix. A matrix in which every pair
// may match is solved by assign_dense.h instead.
//
// Costs and limits of 1e300 and more count as infinite: such a pair is forbidden. Both functions
// throw std::invalid_argument, with row and column, for a cost that is NaN or not above -1e300.
// Each thread keeps its work space for the next call.
#pragma once

#include <cstdint>

namespace sslmot {

// cost: (rows, columns), contiguous. match: out, (rows), the column of each row or -1. `max_cost`
// may be infinite: then as many pairs as possible are matched, at the least cost (to the precision
// of a double of the largest cost times the number of rows).
template <class Cost>
void assign_dense(const Cost* cost, int64_t rows, int64_t columns, double max_cost, int32_t* match);

// The pairs of row i are column[row_begin[i] .. row_begin[i + 1]), in any order, none twice.
template <class Cost>
void assign_sparse(const int32_t* row_begin, const int32_t* column, const Cost* cost, int64_t rows,
                   int64_t columns, double max_cost, int32_t* match);

}  // namespace sslmot
