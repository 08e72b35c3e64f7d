"""PN-GAN: generating a person crop in other poses, and training the generator."""
