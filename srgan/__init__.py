"""SRGAN: photo-realistic x4 single-image super-resolution (Ledig et al., 2017)."""

__version__ = "1.0.0"
