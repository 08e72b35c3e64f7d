"""Track whole clips from disk, write and draw the results."""
