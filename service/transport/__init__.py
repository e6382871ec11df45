"""HTTP connections and request bodies."""
