"""The service: audio in, the models' answers out, over HTTP."""
