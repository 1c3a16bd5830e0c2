"""What goes into the stream and what comes out of it, and how each is read from a reply of the library."""
