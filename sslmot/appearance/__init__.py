"""What describes the boxes of a frame."""
