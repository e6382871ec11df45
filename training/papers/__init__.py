"""Tables of the papers whose systems are trained here, in their form and by their classifiers."""
