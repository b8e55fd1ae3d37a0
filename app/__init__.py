"""Criterion: loss functions over HTTP.

    main.py          create_app(settings): wiring only
    settings.py      Settings, from CRITERION_* variables
    errors.py        CallerError and its tree: what can be wrong with a request
    registry.py      every declared thing of a kind, by name and alias
    losses/          the losses and their evaluation, in plain NumPy; nothing in there knows of HTTP
        loss.py          what a loss is: @loss and its properties
        inputs.py        what a loss takes: encodings, names and shapes
        encodings.py     the encodings themselves
        batch.py         one call's arrays, checked
        means.py         how many losses become one
        evaluate.py      value, per-sample losses and gradient of a batch
        stable.py        building blocks that keep their digits
        regression.py ...  one family of losses, one file
    api/             HTTP, and nothing else: one router, one file
        route.py         from a request to the bytes of its answer
        arrays.py        bytes to arrays and back
        specs.py         registry to Pydantic
        problems.py      errors to RFC 9457

Imports run one way: main -> api -> losses -> registry, errors -> NumPy.
"""
