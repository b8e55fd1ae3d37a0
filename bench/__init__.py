"""`make bench`: the service against what its users would write instead, the kernels against PyTorch.

__main__.py   runs everything, writes RESULTS.md
rivals.py     the rivals: ASGI applications, and the buffers without HTTP
processes.py  servers as processes: started, asked, their CPU time and memory read
wire.py       requests of one kind of contender and size, in interleaved rounds
kernels.py    the kernels against PyTorch where it is installed; a process of its own
targets.py    what must be reached, and whether it was
"""
