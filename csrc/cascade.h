// The rounds of association of a frame, in ByteTrack's order (Zhang et al., 2022).
#pragma once

#include <vector>

#include "step.h"
#include "track_table.h"

namespace sslmot {

// Match the tracks of each table with the detections of its step, and find the new tracks:
//     1. high-score round: all tracks with the high-score detections; by motion alone a second time
//        with all tracks moved by the camera, where that explains more;
//     2. low-score round: unmatched tracks with low-score detections; without a Kalman filter only
//        tracks that were seen in the frame before;
//     3. high-score detections that are unmatched start tracks. Where one overlaps a confirmed
//        track's detection it starts none; if it surely looks unlike that track, it continues or
//        starts a track on probation (track_table.h).
// All rounds match by evidence of place and appearance (motion_evidence.h,
// appearance_evidence.h), or without a Kalman filter by eq. 7.
//
// First rounds whose features are on one CUDA device run as one comparison. Throws
// std::logic_error for a step of another frame, std::invalid_argument for a cost that is NaN,
// std::length_error for more than kMostPairs candidates; tables are not changed in any case.
void associate_steps(const std::vector<const TrackTable*>& tables, const std::vector<Step*>& steps);

}  // namespace sslmot
