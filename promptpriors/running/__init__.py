"""One run from config to result."""
