"""Measurements of finished runs."""
