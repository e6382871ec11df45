"""The command line `tasteprint-train`."""
