"""Losses that are written as expressions: text to steps, steps to derivatives and to NumPy. Nothing is evaluated as code."""
