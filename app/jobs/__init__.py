"""Jobs: work that outlives the request that asked for it.

job.py       what a job is, and how it is shown
database.py  one SQL on a file (SQLite) and on a server (PostgreSQL)
tables.py    where everything stands
store.py     the jobs themselves: every question about them, and every change
idempotency.py  which request has an Idempotency-Key, and the answers that are given again
engine.py    the engine, DBOS: who does a job next, and what happens where that one dies. Nothing else here imports it

What a job is stands in the store and nowhere else; the engine knows its id and how often it was started. Either may be lost
between two steps: a job that the engine has not heard of is handed to it again, and a job that has ended is not begun.
"""
