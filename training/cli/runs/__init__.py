"""Command `tasteprint-train runs`."""
