"""Read, write, list and remove files and objects: one module for local files, one for object stores."""
