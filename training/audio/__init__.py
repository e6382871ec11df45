"""Audio of a training set, decoded to windows."""
