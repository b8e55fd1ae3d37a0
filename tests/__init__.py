"""The tests. They run two at a time: OpenBLAS's second thread would spin on the other's processor, for as much time again."""

import os

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # before NumPy is imported
