"""A recommender that gives a new song its listeners, by its sound and then by its plays."""
