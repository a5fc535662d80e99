"""The command line: parse, call one function, print."""

import os
import re
import signal
import sys
import warnings
from contextlib import suppress
from io import TextIOWrapper
from types import FrameType
from typing import Any

from promptpriors.errors import InputError, Interrupted, Note, WorkError, clipped, harmless

UNEXPECTED = "a defect of ours or a damaged file (PROMPTPRIORS_TRACEBACK=1 shows where):"
LINE, WORD = 1500, 300
"""Characters of a line of an error, and of a word or path in it, that are shown."""


def main() -> None:
    """Run a command; bad input ends with status 2, failed work with 1, Ctrl-C with 130."""
    handlers = _watch()
    try:
        _open_streams()
        _quieten()
        status = _run()
        sys.stdout.flush()
        if status == 130:  # typer makes it of Ctrl-C
            raise KeyboardInterrupt
        sys.exit(status)
    except BrokenPipeError:
        _leave(sys.stdout)
        sys.exit(1)
    except KeyboardInterrupt:
        _end("interrupted", 130)
    except Exception as error:
        ending = _ending(error)
        if ending is None and os.environ.get("PROMPTPRIORS_TRACEBACK"):
            raise
        reason = " ".join(f"{type(error).__name__}: {error}".split())
        _end(*(ending or (f"failed: {UNEXPECTED} {reason[:300]}", 1)))
    finally:
        for number, handler in handlers.items():
            signal.signal(number, handler)


def _ending(error: Exception) -> tuple[str, int] | None:
    """The message and the status of an error that is no defect of ours."""
    match error:
        case InputError():
            return f"error: {error}", 2
        case WorkError():
            return f"failed: {error}", 1
        case Interrupted():
            return f"interrupted; {error}", error.status
        case UnicodeEncodeError():
            return _unwritable(error), 2
        case OSError():
            return _of_system(error)
    return None


def _of_system(error: OSError) -> tuple[str, int]:
    reason = error.strerror or str(error)
    if error.filename is not None:
        return f"error: {error.filename}: {reason}", 2
    _leave(sys.stdout)
    return f"failed: the output can't be written: {reason}", 1


def _run() -> int:
    """Parse the arguments and call the command; returns its status.

    Raises:
        InputError: for arguments that no command takes.
    """
    from typer import BadParameter

    from promptpriors.cli.app import app

    usage: Any = BadParameter.__bases__[0]  # the error of all wrong arguments
    try:
        return app(standalone_mode=False) or 0
    except usage as error:
        if not sys.argv[1:]:
            error.show()  # help is what was asked for
            return error.exit_code
        hint = f"\nTry '{error.ctx.command_path} --help'" if error.ctx else ""
        raise InputError(f"{error.format_message()}{hint}") from None


def _watch() -> dict[int, Any]:
    """Take over the signals that end a command; returns the handlers that were there before."""
    found = {}
    with suppress(ValueError):  # only the main thread may
        if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
            found[signal.SIGINT] = signal.signal(signal.SIGINT, _interrupt)
    return found


def _interrupt(number: int, frame: FrameType | None) -> None:
    """End at once while something is being imported, which libraries do not expect to stop."""
    while frame is not None:
        if frame.f_code.co_filename.startswith("<frozen importlib"):
            with suppress(OSError):
                os.write(2, b"interrupted\n")
            os._exit(128 + number)
        frame = frame.f_back
    raise KeyboardInterrupt


def _open_streams() -> None:
    """Open the null device for each standard stream that is closed, lest a file takes its place."""
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)
    for name in ("stdout", "stderr"):
        if getattr(sys, name) is None:
            setattr(sys, name, open(os.devnull, "w", encoding="utf-8"))  # noqa: SIM115


def _leave(stream: Any) -> None:
    """Send what a stream still holds to the null device, so that the interpreter ends quietly."""
    with suppress(OSError, ValueError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())


def _end(message: str, status: int) -> None:
    with suppress(OSError):
        sys.stderr.write(f"{_shown(message)}\n")
    sys.exit(status)


def _unwritable(error: UnicodeEncodeError) -> str:
    """An error for text that the encoding of file names or of files does not have."""
    part = ascii(error.object[error.start : error.end][:20])
    if sys.getfilesystemencoding() == "utf-8":
        return f"error: the characters {part} of a name are no text in UTF-8; rename it"
    return (
        f"error: the characters {part} do not exist in this locale, which is "
        f"{sys.getfilesystemencoding()}\nSet PYTHONUTF8=1, or a locale such as LC_ALL=C.UTF-8"
    )


def _quieten() -> None:
    """Other libraries' bars and remarks stay away; our own warnings become one line each.

    Raises:
        InputError: for an argument that is no text, or not in this locale.
    """
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    for name, value in QUIET.items():
        os.environ.setdefault(name, value)
    warnings.simplefilter("ignore")
    warnings.simplefilter("always", Note)
    warnings.showwarning = _show_warning
    for word in sys.argv:
        word.encode()


QUIET = {
    "TRANSFORMERS_VERBOSITY": "error",
    "HF_HUB_DISABLE_PROGRESS_BARS": "1",
    "HF_DATASETS_DISABLE_PROGRESS_BARS": "1",
    "HF_HUB_VERBOSITY": "error",
    "DATASETS_VERBOSITY": "error",
    "TOKENIZERS_PARALLELISM": "false",
    # threads that spin while others work cost many times what they gain on a quiet machine
    "OMP_WAIT_POLICY": "PASSIVE",
}
"""Settings of other libraries, unless the user has set them; they hold from before torch loads."""


def _show_warning(message: Warning | str, *_: object, **__: object) -> None:
    with suppress(OSError):
        sys.stderr.write(f"note: {_shown(str(message))}\n")


def _shown(message: str) -> str:
    """A message as a terminal takes it: nothing that steers it, long words and lines cut."""
    short = re.sub(rf"\S{{{WORD},}}", lambda found: clipped(found[0], WORD // 2), message)
    return "\n".join(clipped(line, LINE) for line in harmless(short).split("\n"))
