"""Audio of a training set: manifests, MIDI rendering, decoded windows."""
