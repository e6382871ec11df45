"""Documentation, and the scripts that draw its tables and figures."""
