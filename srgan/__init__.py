"""SRGAN: photo-realistic x4 single-image super-resolution (Ledig et al., 2017)."""
