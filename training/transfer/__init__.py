"""Knowledge transfer to small labelled tasks."""
