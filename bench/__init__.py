"""`make bench`: the service against what its users would run instead, its kernels against PyTorch.

__main__.py     runs everything, writes RESULTS.md
contenders.py   who is measured, and what each is sent
rivals.py       the rivals' servers
processes.py    servers as processes: started, asked, their CPU time and memory read
wire.py         requests in interleaved rounds
kernels.py      the kernels, in a process of their own
insight.py      analyses against evaluations of the same arrays
profile.py      `make profile`: where the time of one request goes
training.py     training runs, and what the service adds to one
report.py       the tables, and what must be reached
"""
