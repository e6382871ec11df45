"""A request's way from upload to answer."""
