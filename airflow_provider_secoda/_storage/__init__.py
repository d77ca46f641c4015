"""Write files and manifests to local paths and object stores."""
