"""Audio preprocessing: from an uploaded file to the windows that a model takes."""
