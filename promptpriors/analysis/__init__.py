"""Pure functions on tensors: where points and prompts lie, and how they moved."""
