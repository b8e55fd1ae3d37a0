"""Criterion: loss functions over HTTP."""
