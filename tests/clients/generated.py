"""How each client is made: installed, generated, compiled, run. All of it lives in `.build`, which may be deleted."""

import os
import shutil
import subprocess
import venv
from collections.abc import Callable, Sequence
from pathlib import Path

HERE = Path(__file__).parent
BUILD = HERE / ".build"
DOCUMENT = HERE.parent.parent / "openapi" / "openapi.json"
STEP_SECONDS = 300

PYTHON = BUILD / "python"
BIN = PYTHON / "bin"
TYPESCRIPT = BUILD / "typescript"
GO = BUILD / "go"
DEBIAN_GO = Path("/usr/share/gocode")
"""Where Debian has Go's libraries: the generated client needs one beside the standard library."""
DEBIAN = {
    "golang-go": "go",
    "golang-gopkg-validator.v2-dev": f"{DEBIAN_GO}/src/gopkg.in/validator.v2",
    "openjdk-17-jdk-headless": "java",
    "libjackson2-databind-java": "/usr/share/java/jackson-databind.jar",
    "nodejs": "node",
    "npm": "npm",
    "r-cran-httr2": "/usr/lib/R/site-library/httr2",
    "r-cran-jsonlite": "/usr/lib/R/site-library/jsonlite",
    "php-cli": "php",
    "octave": "octave",
    "curl": "curl",
    "jq": "jq",
}
"""Packages of Debian, each with a program or a path by which one sees that it is there."""


def run(*command: str | Path, **environment: str) -> str:
    """What a command prints; RuntimeError with all that it says where it fails."""
    done = subprocess.run(
        [str(word) for word in command],
        env={**os.environ, **environment},
        cwd=BUILD,
        capture_output=True,
        text=True,
        timeout=STEP_SECONDS,
        check=False,
    )
    if done.returncode:
        raise RuntimeError(f"{' '.join(map(str, command))}\n{done.stdout[-4000:]}\n{done.stderr[-4000:]}")
    return done.stdout


# --- tools --------------------------------------------------------------------------------------------------------------


def install_python() -> None:
    wanted = HERE / "requirements.txt"
    installed = PYTHON / "requirements.txt"
    if installed.exists() and installed.read_text() == wanted.read_text():
        return
    venv.create(PYTHON, clear=True, with_pip=True)
    run(BIN / "python", "-m", "pip", "install", "--quiet", "-r", wanted)
    shutil.copy(wanted, installed)


def install_typescript() -> None:
    TYPESCRIPT.mkdir(parents=True, exist_ok=True)
    lock = TYPESCRIPT / "package-lock.json"
    if lock.exists() and lock.read_text() == (HERE / lock.name).read_text() and (TYPESCRIPT / "node_modules").exists():
        return
    for name in ("package.json", "package-lock.json"):
        shutil.copy(HERE / name, TYPESCRIPT)
    run("npm", "ci", "--prefix", TYPESCRIPT, "--silent", "--no-audit", "--no-fund")


def install_debian() -> None:
    missing = [package for package, sign in DEBIAN.items() if not (shutil.which(sign) or Path(sign).exists())]
    if missing:
        run("apt-get", "update", "--quiet")
        install = ("apt-get", "install", "--yes", "--quiet", "--no-install-recommends")
        run(*install, *missing, DEBIAN_FRONTEND="noninteractive")


# --- clients ------------------------------------------------------------------------------------------------------------


def python_client(url: str) -> str:
    target = BUILD / "python_client"
    command = ("generate", "--overwrite", "--meta", "none", "--path", DOCUMENT, "--output-path", target / "criterion_client")
    run(BIN / "openapi-python-client", *command, PATH=f"{BIN}:{os.environ['PATH']}")
    return run(BIN / "python", HERE / "python_client.py", url, PYTHONPATH=str(target))


def python_openapi_generator(url: str) -> str:
    target = BUILD / "python_openapi_generator"
    _openapi_generator("python", target, "packageName=criterion_openapi")
    return run(BIN / "python", HERE / "python_openapi_generator.py", url, PYTHONPATH=str(target))


def typescript(url: str) -> str:
    tools = TYPESCRIPT / "node_modules" / ".bin"
    for name in ("typescript_client.ts", "tsconfig.json"):
        shutil.copy(HERE / name, TYPESCRIPT)
    run(tools / "openapi-typescript", DOCUMENT, "--output", TYPESCRIPT / "schema.d.ts")
    run(tools / "tsc", "--project", TYPESCRIPT)
    return run("node", TYPESCRIPT / "typescript_client.js", url)


def go(url: str) -> str:
    sources = GO / "src"
    _openapi_generator("go", sources / "criterion", "packageName=criterion,withGoMod=false")
    (sources / "program").mkdir(exist_ok=True)
    shutil.copy(HERE / "go_client.go", sources / "program" / "main.go")
    environment = {"GO111MODULE": "off", "GOPATH": f"{GO}:{DEBIAN_GO}", "GOFLAGS": "", "GOCACHE": str(GO / "cache")}
    run("go", "vet", "criterion", "program", **environment)
    run("go", "build", "-o", GO / "program", "program", **environment)
    return run(GO / "program", url)


def _openapi_generator(language: str, target: Path, options: str) -> None:
    shutil.rmtree(target, ignore_errors=True)
    command = ("generate", "--generator-name", language, "--input-spec", DOCUMENT, "--output", target)
    run(BIN / "openapi-generator-cli", *command, "--additional-properties", options)


CLIENTS: dict[str, tuple[Sequence[Callable[[], None]], Callable[[str], str]]] = {
    "openapi-python-client": ((install_python,), python_client),
    "openapi-generator, python": ((install_python,), python_openapi_generator),
    "openapi-typescript": ((install_debian, install_typescript), typescript),
    "openapi-generator, go": ((install_python, install_debian), go),
}
"""By name what is to be installed, and what generates, compiles and runs the client against a server: it prints JSON."""
