"""python -m app: the service, in the environment that makes it fast, unless that is set otherwise."""

import os
import sys

from app.serving.environment import ENVIRONMENT

if __name__ == "__main__":
    os.execve(sys.executable, [sys.executable, "-m", "app.main"], {**ENVIRONMENT, **os.environ})
