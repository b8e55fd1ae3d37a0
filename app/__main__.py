"""python -m app [worker]: the service, or a process that does its jobs, in the environment that makes it fast.

What is set otherwise stays so.
"""

import gc
import os
import sys

from app.serving.environment import ENVIRONMENT

if __name__ == "__main__":
    if not ENVIRONMENT.keys() <= os.environ.keys():
        os.execve(sys.executable, [sys.executable, "-m", "app", *sys.argv[1:]], {**ENVIRONMENT, **os.environ})
    gc.disable()  # what is loaded stays: to look for garbage in it, while it grows and afterwards, is a sixth of the start
    from app.main import main

    gc.freeze()
    gc.enable()
    main()
