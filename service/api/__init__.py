"""HTTP routes, their OpenAPI text and the bodies of their answers."""
