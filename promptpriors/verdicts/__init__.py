"""Study results from finished runs."""
