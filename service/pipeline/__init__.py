"""Request pipeline: upload, cache, admission, decoding and inference, to the models' answers."""
