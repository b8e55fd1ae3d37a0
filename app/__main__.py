"""python -m app [worker]: the service, or a process that does its jobs, in the environment that makes it fast.

What is set otherwise stays so.
"""

import os
import sys

from app.serving.environment import ENVIRONMENT

if __name__ == "__main__":
    os.execve(sys.executable, [sys.executable, "-m", "app.main", *sys.argv[1:]], {**ENVIRONMENT, **os.environ})
