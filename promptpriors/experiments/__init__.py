"""Configs, runs, the demo and the doctor: what ties everything below together."""

from promptpriors.experiments.config import RunConfig, override, parse_config, read_config
from promptpriors.experiments.run import Session, execute

__all__ = ["RunConfig", "Session", "execute", "override", "parse_config", "read_config"]
