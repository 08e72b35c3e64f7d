"""Training of the encoder without labels (SSL-MOT, section 3)."""
