"""The command line: parse, call one function, print."""

import os
import sys
import warnings
from io import TextIOWrapper

from promptpriors.errors import InputError, Note, WorkError

UNEXPECTED = "a defect of ours or a damaged file (PROMPTPRIORS_TRACEBACK=1 shows where):"


def main() -> None:
    """Run a command; bad input ends with status 2, failed work with 1."""
    _quieten()
    try:
        from promptpriors.cli.app import app

        app()
    except InputError as error:
        _end(f"error: {error}", 2)
    except WorkError as error:
        _end(f"failed: {error}", 1)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)
    except KeyboardInterrupt:
        _end("interrupted", 130)
    except OSError as error:
        _end(f"error: {error.filename or 'a file'}: {error.strerror or error}"[:500], 2)
    except Exception as error:
        if os.environ.get("PROMPTPRIORS_TRACEBACK"):
            raise
        reason = " ".join(f"{type(error).__name__}: {error}".split())
        _end(f"failed: {UNEXPECTED} {reason[:300]}", 1)


def _end(message: str, status: int) -> None:
    sys.stderr.write(message + "\n")
    sys.exit(status)


def _quieten() -> None:
    """Other libraries' bars and remarks stay away; our own warnings become one line each."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")
    os.environ.setdefault("HF_HUB_DISABLE_PROGRESS_BARS", "1")
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    warnings.simplefilter("ignore")
    warnings.simplefilter("always", Note)
    warnings.showwarning = _show_warning


def _show_warning(message: Warning | str, *_: object, **__: object) -> None:
    sys.stderr.write(f"note: {message}\n")
