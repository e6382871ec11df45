"""What training and service share: the bundles, their schema, and how audio becomes their input."""
