"""One run on several processes: the main one runs it, the others take shares of its work.

The main process does what a single process does: it holds the run's folder, draws, updates and
writes. What can be divided is a function from a part of the work to a vector, and the vectors of
all parts are summed. Every process registers the same functions; then the main one asks (name,
parts, present values) and the others serve, until it ends. Since nobody speaks unasked and every
failure is an answer, no process waits for one that has given up.
"""

import os
import socket
import traceback
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from datetime import timedelta
from typing import Any, NoReturn, Protocol, cast, runtime_checkable

import torch
from jaxtyping import Float
from torch import Tensor, nn

from promptpriors.errors import InputError, WorkError, note

Share = Callable[[Any], Float[Tensor, " n"]]
"""A part of the work to a vector, of the same length for every part."""
Asked = Callable[[Sequence[Any]], Float[Tensor, " n"]]
"""The parts of all processes to the sum of their vectors."""
PATIENCE = timedelta(days=1)
"""How long a process waits for the main one, which may capture a space in the meantime."""


@runtime_checkable
class Team(Protocol):
    """Processes that do a run's work.

    Attributes:
        main: whether this process runs the run.
        size: processes.
        local: processes on this machine.
    """

    main: bool
    size: int
    local: int

    def divided(self, name: str, share: Share, parameters: Sequence[nn.Parameter] = ()) -> Asked:
        """Register work that can be divided; the function that is returned is for the main process.

        Args:
            name: the same on every process.
            share: does one part of it.
            parameters: what it depends on; the main process sends its values with each request.
        """
        ...


class Alone:
    """A process of its own: its only part is all the work."""

    main, size, local = True, 1, 1

    def divided(
        self,
        name: str,  # noqa: ARG002
        share: Share,
        parameters: Sequence[nn.Parameter] = (),  # noqa: ARG002
    ) -> Asked:
        """As ``Team.divided``."""
        return lambda parts: share(parts[0])


ALONE = Alone()


class Crew:
    """Processes that were launched together, as accelerate knows them.

    Args:
        state: accelerate's ``PartialState``.
    """

    def __init__(self, state: Any) -> None:
        self.main: bool = state.is_main_process
        self.size: int = state.num_processes
        self.local = int(os.environ.get("LOCAL_WORLD_SIZE", "1"))
        self._rank: int = state.process_index
        self._device: torch.device = state.device
        self._shares: dict[str, tuple[Share, Sequence[nn.Parameter]]] = {}
        self._error: Exception | None = None
        self._busy = False

    def divided(self, name: str, share: Share, parameters: Sequence[nn.Parameter] = ()) -> Asked:
        """As ``Team.divided``.

        The function that is returned raises the main process's own failure, else that of the first
        process that failed.
        """
        self._shares[name] = share, parameters

        def ask(parts: Sequence[Any]) -> Tensor:
            self._busy = True
            self._tell((name, list(parts), [p.detach().cpu() for p in parameters]))
            return self._do(name, parts[self._rank])

        return ask

    def serve(self) -> NoReturn:
        """Do shares of what the main process asks for, and end when and as it does."""
        try:
            while True:
                name, parts, values = self._tell(None)
                if name is None:
                    raise SystemExit(parts)
                known = self._shares.get(name)
                for parameter, value in zip(known[1] if known else (), values, strict=False):
                    parameter.data.copy_(value)
                with suppress(Exception):  # it was reported
                    self._do(name, parts[self._rank])
        except WorkError:  # the main process is gone, and says why if it can
            raise SystemExit(1) from None
        except KeyboardInterrupt:
            raise SystemExit(130) from None

    @contextmanager
    def leading(self) -> Iterator[None]:
        """The main process's work; however it ends, the others end too."""
        status = 0
        try:
            yield
        except BaseException as error:
            status = _status(error)
            raise
        finally:
            if not self._busy:  # in the middle of a share nobody would listen
                with suppress(Exception):
                    self._tell((None, status, ()))

    @contextmanager
    def following(self) -> Iterator[None]:
        """Another process's work: what it fails in is told when the main one asks."""
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # the main process says it
                yield
        except KeyboardInterrupt:
            raise SystemExit(130) from None
        except Exception as error:
            self._error = error
        self.serve()

    def _do(self, name: str, part: Any) -> Tensor:
        """This process's share, and the sum of all."""
        from accelerate.utils import gather_object, reduce

        error, vector = self._error, torch.zeros(0)
        if error is None:
            try:
                vector = self._shares[name][0](part)
            except Exception as found:
                error = found
        reports: list[Exception | None] = []
        with _connected():
            failed = torch.tensor([float(error is not None)], device=self._device)
            if cast("Tensor", reduce(failed, "sum")).item():
                reports = gather_object([self._report(error)])
            else:
                vector = cast("Tensor", reduce(vector.to(self._device), "sum"))
        self._busy = False
        if error is not None:
            raise error
        for report in reports:
            if report is not None:
                raise report
        return vector

    def _tell(self, message: Any) -> Any:
        """The main process's message, on every process."""
        from accelerate.utils import broadcast_object_list

        with _connected():
            return broadcast_object_list([message])[0]

    def _report(self, error: Exception | None) -> Exception | None:
        """A failure as the other processes see it."""
        if error is None:
            return None
        message = f"process {self._rank} on {socket.gethostname()}: {error}"
        if isinstance(error, InputError):
            return InputError(message)
        if isinstance(error, WorkError | torch.OutOfMemoryError | MemoryError | OSError):
            return WorkError(message)
        if os.environ.get("PROMPTPRIORS_TRACEBACK"):
            message += "\n" + "".join(traceback.format_exception(error))
        return RuntimeError(f"{type(error).__name__}: {message}")


@contextmanager
def _connected() -> Iterator[None]:
    """Say in our words that another process is gone; gloo and nccl have various ones."""
    try:
        yield
    except RuntimeError as error:
        reason = str(error).rpartition("] ")[2].split(". ")[0].strip()
        raise WorkError(
            f"the connection to another process of this run is lost ({reason[:100]})\n"
            "Start the same command again: it goes on from the last evaluation"
        ) from None


def launched() -> bool:
    """True in one of several processes that torchrun, accelerate or mpirun started."""
    names = ("WORLD_SIZE", "PMI_SIZE", "OMPI_COMM_WORLD_SIZE", "MV2_COMM_WORLD_SIZE")
    size = next((os.environ[name] for name in names if name in os.environ), "1")
    return "MASTER_ADDR" in os.environ and size.isdigit() and int(size) > 1


@contextmanager
def gathered() -> Iterator[Team]:
    """The processes that were launched together; ``ALONE`` where this is the only one.

    Talks by nccl where there is a GPU for each process, else by gloo. On all but the main process
    the body need only register its shares; it does not return.
    """
    asked = os.environ.get("ACCELERATE_USE_CPU", "").lower() in {"1", "true"}
    if not launched():
        if asked and "MASTER_ADDR" in os.environ:  # accelerate sets it for more than one process
            note(
                "accelerate launch --cpu starts one process unless it has a host file of mpirun; "
                "for several: torchrun --nproc-per-node N -m promptpriors run …"
            )
        yield ALONE
        return
    import torch.distributed.nn
    from accelerate import PartialState

    local = int(os.environ.get("LOCAL_WORLD_SIZE", "1"))
    state = PartialState(cpu=asked or torch.cuda.device_count() < local, timeout=PATIENCE)
    crew = Crew(state)
    try:
        with crew.leading() if crew.main else crew.following():
            yield crew
    finally:
        state.destroy_process_group()


def check_device(team: Team, name: str, device_map: str | None) -> None:
    """Refuse to put several processes of a machine on the same device.

    Raises:
        InputError: for a device with a number, or a model that is spread over several devices.
    """
    if team.local == 1:
        return
    if device_map is not None:
        raise InputError(
            f"device.device_map = {device_map!r} spreads the model over all devices of a machine, "
            f"which has {team.local} processes; start one process a machine, or leave it out"
        )
    if name.startswith("cuda:"):
        raise InputError(
            f"device.name = {name!r} puts all {team.local} processes of a machine on one device; "
            "write 'cuda', and each takes its own"
        )


def _status(error: BaseException) -> int:
    """The status that the command line ends with."""
    if isinstance(error, InputError | OSError):
        return 2
    if isinstance(error, KeyboardInterrupt):
        return 130
    return getattr(error, "exit_code", 1)  # typer's way to end
