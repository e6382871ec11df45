"""The catalogue of `/similar`, `/listeners` and `/catalogue`."""
