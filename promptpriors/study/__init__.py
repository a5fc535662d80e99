"""Studies: many runs from one file, resumed, on one machine or many."""
