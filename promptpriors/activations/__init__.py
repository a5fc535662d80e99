"""Activations: captured from a frozen model over a task, streamed to disk, read back as spaces."""
