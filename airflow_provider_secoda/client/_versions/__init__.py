"""Read and poll the version history of a resource. Nothing here sends."""
