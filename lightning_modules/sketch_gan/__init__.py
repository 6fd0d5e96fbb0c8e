"""The generator of photos from sketches: its training and its Fréchet distance."""
