// How the camera moved since the frame before, applied to boxes and to states of the motion model.
#pragma once

#include <cstddef>

namespace sslmot {

// Maps pixels of the frame before to pixels of this frame: x -> linear * x + shift.
struct CameraMotion {
    float linear[2][2];
    float shift[2];
    float zoom;  // factor of all lengths
};

// Move a state of `numbers` floats (20 of the Kalman filter, see motion.h, or the 4 of a box:
// cx, cy, w, h), in place.
void move_state(const CameraMotion& by, float* state, size_t numbers);
// Move a box (x1, y1, x2, y2), in place.
void move_box(const CameraMotion& by, float* xyxy);

}  // namespace sslmot
