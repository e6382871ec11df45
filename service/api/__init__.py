"""HTTP routes, their OpenAPI descriptions and response rendering."""
