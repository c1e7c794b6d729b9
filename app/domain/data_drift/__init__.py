"""Data drift: whether what a model sees and says has changed, from counts alone, and how good it probably still is."""
