"""PN-GAN: a person crop in other poses, and the training of the network that shows it."""
