"""From image to image by a network, in bounded memory."""
