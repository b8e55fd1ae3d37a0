"""Settings, from CRITERION_* variables, read once and passed down."""

import json
import os
import sys
from collections.abc import Mapping
from contextlib import suppress
from difflib import get_close_matches
from pathlib import Path
from types import NoneType
from typing import Annotated, Literal, cast, get_args, get_origin

from annotated_types import Ge, Gt, Le
from pydantic import BeforeValidator, Field, SecretStr, ValidationError
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

MIB = 1024**2
CGROUP_LIMITS = (Path("/sys/fs/cgroup/memory.max"), Path("/sys/fs/cgroup/memory/memory.limit_in_bytes"))
"""Where Linux says how much memory a container may take (cgroup 2 and 1)."""


CGROUP_CPU = Path("/sys/fs/cgroup/cpu.max")
"""How much of the processors (cgroup 2), as microseconds of so many."""


def _cores() -> int:
    """The processors this process may use, which may be fewer than there are; part of one counts as one."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    with suppress(OSError, ValueError):  # no such file, or "max"
        quota, period = map(int, CGROUP_CPU.read_text().split())
        cores = min(cores, -(-quota // period))
    return cores


def _memory() -> int:
    """The bytes of memory that the container, or the machine, has."""
    found = [os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")]
    for path in CGROUP_LIMITS:
        with suppress(OSError, ValueError):  # no such file, or "max"
            found.append(int(path.read_text()))
    return min(found)


def _quarter(most: int) -> int:
    """A quarter of the memory, and no more than that: what is in flight, a large request and a run are three of them."""
    return max(64 * MIB, min(_memory() // 4, most))


def _listed(value: object) -> object:
    return tuple(name.strip() for name in value.split(",") if name.strip()) if isinstance(value, str) else value


Names = Annotated[tuple[str, ...], NoDecode, BeforeValidator(_listed)]
"""Names with commas between them."""


PREFIX = "CRITERION_"


class Settings(BaseSettings):
    model_config = SettingsConfigDict(env_prefix=PREFIX, frozen=True)

    host: str = Field(default="127.0.0.1", description="Address to listen on.")
    port: int = Field(default=8000, ge=1, le=65535, description="Port to listen on.")
    workers: int = Field(default=1, ge=1, le=256, description="Server processes.")
    log_format: Literal["json", "text"] = Field(
        default_factory=lambda: "text" if sys.stdout.isatty() else "json",
        description="Of the log, which goes to stdout: an object a line, or lines for people.",
    )
    log_level: Literal["critical", "error", "warning", "info", "debug"] = Field(default="info", description="What is logged.")
    shutdown_seconds: int = Field(default=10, ge=0, description="How long open requests may go on after SIGTERM.")

    trusted_hosts: Names = Field(
        default=("*",), description="Names by which the server may be asked for; * is any, *.example.org a domain."
    )
    cors_origins: Names = Field(default=(), description="Origins whose pages may ask, such as https://example.org; * is any.")

    keys_file: Path | None = Field(
        default=None, description="API keys, as JSON ([operations](operations.md#keys)); read anew when it changes."
    )
    keys: SecretStr | None = Field(default=None, description="The same JSON itself, instead of a file.")

    metrics_port: int | None = Field(
        default=None, ge=1, le=65535, description="Port for `/metrics` alone, which then is not on the other port."
    )
    metrics_host: str = Field(default="127.0.0.1", description="Address to listen on for metrics.")

    connections: int = Field(
        default=1000, ge=1, description="Open connections, per server process; one more is answered with 503."
    )
    head_bytes: int = Field(
        default=64 * 1024, ge=1024, description="Request line, headers and trailers at most; more is refused with 431."
    )
    head_fields: int = Field(default=100, ge=10, description="Headers and trailers of a request at most.")
    head_seconds: float = Field(
        default=10, gt=0, description="How long a request's head may take to arrive, or the first byte of a connection."
    )
    body_seconds: float = Field(default=10, gt=0, description="For how long a body may arrive more slowly than it must.")
    body_bytes_per_second: int = Field(default=1024, ge=0, description="How fast a body must arrive; a slower one gets 408.")
    write_seconds: float = Field(default=20, gt=0, description="How long a client may read nothing of an answer that waits.")
    keep_alive_seconds: float = Field(default=75, gt=0, description="How long a connection may wait for another request.")

    max_body_bytes: int = Field(default=64 * MIB, ge=1, description="Largest request body; a larger one is refused with 413.")
    memory_bytes: int = Field(
        default_factory=lambda: _quarter(4096 * MIB),
        ge=1,
        description="Bodies in flight, unpacked bodies and answers together; what goes beyond is answered with 503. "
        "Each `*_memory_bytes` is by default a quarter of the container's or the machine's memory.",
    )

    large_body_bytes: int = Field(default=512 * 1024, ge=0, description="From this size on, a body is worked on in a process.")
    large_workers: int = Field(default=1, ge=1, le=64, description="Large requests worked on at a time, per server process.")
    large_waiting: int = Field(default=16, ge=0, description="Large requests that may wait; one more is answered with 503.")
    large_seconds: float = Field(default=60, gt=0, description="How long a large request may take; then it is answered with 503.")
    large_memory_bytes: int = Field(
        default_factory=lambda: _quarter(2048 * MIB),
        ge=64 * MIB,
        description="Memory that a large request may take beyond its process's own.",
    )
    inline_cost: float = Field(
        default=5e6, ge=0, description="Steps (about 1e9 a second) above which a small request goes to a process too."
    )
    max_cost: float = Field(default=2e10, gt=0, description="Steps of a request at most; more are refused with 422.")
    threads: int = Field(default_factory=_cores, ge=1, le=256, description="Threads that share one large batch.")

    training_processes: int = Field(default=1, ge=1, le=64, description="Training runs at a time, per server process.")
    training_waiting: int = Field(
        default=8, ge=0, description="Runs that may wait for another to end; one more is answered with 503."
    )
    training_seconds: float = Field(default=30, gt=0, description="How long a run may take; then it answers what there is.")
    training_epochs: int = Field(default=10_000, ge=1, description="Epochs of a run at most.")
    training_parameters: int = Field(default=1_000_000, ge=1, description="Weights and biases of a model at most.")
    training_row_epochs: int = Field(default=20_000_000, ge=1, description="Training rows times epochs of a run at most.")
    training_memory_bytes: int = Field(
        default_factory=lambda: _quarter(512 * MIB),
        ge=64 * MIB,
        description="Memory that a run may take beyond its process's own.",
    )

    stream_processes: int = Field(
        default=2,
        ge=1,
        le=64,
        description="Streams worked on while they come, at a time, per server process; one more is answered with 503.",
    )
    stream_seconds: float = Field(default=3600, gt=0, description="How long a stream may go on; then it is answered with 503.")

    data_dir: Path = Field(default=Path(".criterion"), description="Where jobs and data sets keep what must outlive the service.")
    data_roots: Names = Field(
        default=(),
        description="Folders in which jobs may read and write, and URLs of object stores below which they may read, as "
        "`s3://bucket/run7` ([operations](operations.md#data-by-reference)).",
    )
    dataset_bytes: int = Field(
        default=1024 * MIB,
        ge=0,
        description="Bytes of the data sets that each key may keep ([operations](operations.md#data-sets)).",
    )
    dataset_count: int = Field(default=1000, ge=0, description="Data sets that each key may keep; one more is answered with 409.")
    dataset_retention_seconds: float = Field(default=2592000, gt=0, description="How long a data set is kept.")
    engine_url: str = Field(
        default="",
        pattern=r"^(|none|sqlite:///.+|postgres(ql)?://.+)$",
        description="Where jobs are kept ([operations](operations.md#jobs)): `sqlite:///` with a file, or `postgresql://`; "
        "`none` for no jobs.",
    )
    job_slots: int = Field(
        default_factory=lambda: max(1, _cores() - 1), ge=1, le=256, description="Pieces of jobs worked on at a time."
    )
    job_queue: int = Field(default=1000, ge=1, description="Jobs that may be queued; one more is answered with 429.")
    job_seconds: float = Field(default=86400, gt=0, description="How long a job may be worked on.")
    job_memory_bytes: int = Field(
        default=1024 * MIB, ge=64 * MIB, description="Memory that a piece of a job may take beyond its process's own."
    )
    job_attempts: int = Field(default=3, ge=1, description="Times that a piece of a job is tried when its process dies.")
    job_part_bytes: int = Field(
        default=256 * MIB,
        ge=1,
        description="Bytes of files, about, that are a part of a job of `evaluate` or `analyze`; parts are done at once, by "
        "whoever has time ([operations](operations.md#data-by-reference)).",
    )
    job_checkpoint_seconds: float = Field(default=5, ge=0, description="Work between two checkpoints of a job, about.")
    job_retention_seconds: float = Field(
        default=604800, gt=0, description="How long a job is kept after its end, with its events and its Idempotency-Key."
    )

    mlflow_url: str = Field(
        default="",
        pattern=r"^(|https?://[^@\s]+)$",
        description="An MLflow server that is told of each training that ends ([operations](operations.md#mlflow)).",
    )
    mlflow_experiment: str = Field(default="criterion", min_length=1, description="The experiment that these runs are of.")
    mlflow_token: SecretStr | None = Field(default=None, description="What is sent to it as `Authorization: Bearer`.")

    @property
    def engine(self) -> str | None:
        """The URL of the database that jobs are in; None where there are no jobs."""
        if self.engine_url == "none":
            return None
        return self.engine_url or f"sqlite:///{self.data_dir.absolute() / 'engine.sqlite'}"

    @property
    def variables(self) -> dict[str, str]:
        """The variables that say what is not left to its default, for a process that is to have the same settings."""
        given = {name: getattr(self, name) for name in self.model_fields_set}
        return {f"{PREFIX}{name.upper()}": _written(value) for name, value in given.items() if value is not None}


def _written(value: object) -> str:
    if isinstance(value, SecretStr):
        return value.get_secret_value()
    return ",".join(cast(tuple[str, ...], value)) if isinstance(value, tuple) else str(value)


class WrongSetting(ValueError):
    """A variable that there is not, or one whose value cannot be taken: a line for whoever starts the service."""


def read_settings(environment: Mapping[str, str] = os.environ) -> Settings:
    """The settings of this environment; WrongSetting for the first thing that is wrong with it."""
    known = [f"{PREFIX}{name.upper()}" for name in Settings.model_fields]
    for variable in sorted(environment):
        if variable.startswith(PREFIX) and variable not in known:
            close = get_close_matches(variable, known, n=1, cutoff=0.8)
            raise WrongSetting(f"{variable}: no such setting" + (f"; did you mean {close[0]}?" if close else ""))
    try:
        return Settings()
    except ValidationError as error:
        name = str(error.errors()[0]["loc"][0])
        value = environment.get(f"{PREFIX}{name.upper()}", "")
        got = "" if name in MAY_HAVE_PASSWORDS else f"; got {json.dumps(value[:80])}"
        raise WrongSetting(f"{PREFIX}{name.upper()}: must be {_rule(name)}{got}") from None


MAY_HAVE_PASSWORDS = {"engine_url", "mlflow_url"}
"""Settings that are not shown."""


def _rule(name: str) -> str:
    """What a setting may be, in words."""
    field = Settings.model_fields[name]
    kind = next(found for found in (*get_args(field.annotation), field.annotation) if found is not NoneType)
    if get_origin(field.annotation) is Literal:
        return f"one of {', '.join(get_args(field.annotation))}"
    if name == "engine_url":
        return "none, sqlite:/// and a file, or the URL of a PostgreSQL database"
    if kind not in (int, float):
        return "text"
    bounds: dict[object, float] = {type(bound): getattr(bound, type(bound).__name__.lower()) for bound in field.metadata}
    number = "a whole number" if kind is int else "a number"
    if Ge in bounds and Le in bounds:
        return f"{number} from {bounds[Ge]:g} to {bounds[Le]:g}"
    return f"{number} above {bounds[Gt]:g}" if Gt in bounds else f"{number} from {bounds[Ge]:g} on"


def table() -> str:
    """Every setting with its default, as docs/settings.md shows it."""
    rows = [
        f"| `{PREFIX}{name.upper()}` | {_shown(name)} | {field.description} |" for name, field in Settings.model_fields.items()
    ]
    return "\n".join((HEADING, "| variable | default | meaning |", "|---|---|---|", *rows, ""))


HEADING = """# Settings

Environment variables, read once at the start. `python -m app.settings` writes this page.
"""

OF_THE_MACHINE = {
    "log_format": "`json`; `text` on a terminal",
    "threads": "the processors",
    "job_slots": "the processors but one",
    "engine_url": "a file in `CRITERION_DATA_DIR`",
    "memory_bytes": "a quarter of the memory, at most 4 GiB",
    "large_memory_bytes": "a quarter of the memory, at most 2048 MiB",
    "training_memory_bytes": "a quarter of the memory, at most 512 MiB",
}


def _shown(name: str) -> str:
    default: object = Settings.model_fields[name].default
    if name in OF_THE_MACHINE:
        return OF_THE_MACHINE[name]
    if default is None:
        return "none"
    shown = ",".join(cast(tuple[str, ...], default)) if isinstance(default, tuple) else str(default)
    return f"`{shown}`" if shown else "none"


if __name__ == "__main__":
    print(table(), end="")
