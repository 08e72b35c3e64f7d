// Which tracks become confirmed in a frame, and their ids: those of lost tracks that are seen
// again, those of a gallery, or new ones.
#pragma once

#include <cstdint>
#include <vector>

#include "step.h"
#include "track_table.h"

namespace sslmot {

// Find the tracks that become confirmed in this frame, and re-identify lost tracks among them by
// appearance. With `gallery`, features of all confirmations are left in the step for a gallery.
//
// A tentative track is confirmed after min_hits matches. A new track is confirmed at once if its
// score is high enough and it resembles no lost track, else it stays tentative.
void reidentify(const TrackTable& table, Step& step, bool gallery);

// The confirmations without an id: of tentative tracks, or of new tracks.
std::vector<size_t> without_id(const TrackTable& table, const Step& step, bool new_tracks);

// Assign ids to these confirmations: from_gallery[k] to the k-th if it is above 0 (null: without a
// gallery), else the next new id, `first_id` or more. Tentative tracks come before new tracks.
// Throws std::invalid_argument if an id would exceed kLargestId; the step has not changed then.
void assign_ids(const TrackTable& table, Step& step, bool new_tracks, const int64_t* from_gallery,
                int64_t first_id);

}  // namespace sslmot
