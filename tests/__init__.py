"""The tests. They run two at a time: OpenBLAS's second thread would spin on the other's processor, for as much time again."""

import os

for threads in ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS"):  # before NumPy is imported; what waits for others spins
    os.environ.setdefault(threads, "1")
