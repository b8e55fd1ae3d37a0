"""`make abuse`: attacks on a real server, over the wire alone, and what it promises meanwhile.

wire.py        requests as bytes, answers as they come, and whether a refusal is in form
bodies.py      the documents and tensors that are sent
processes.py   the server's process tree: its memory, its CPU time, its processes
watch.py       a process beside each attack: tiny requests, and the memory of the tree
conftest.py    a server of its own for each attack, the watch around it, the table at the end
test_*.py      the attacks
Clients.java   the stock client of Java
soak.py        `python -m tests.abuse.soak SECONDS`: everything at once, for as long as one likes

Nothing in here imports the service: what holds has to hold for whoever is at the other end of the wire.
"""
