"""TOML files parsed and checked."""
