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
        evaluate.py      value, per-sample losses and gradient of a batch
        numerics/        means.py: how many losses become one; blocks.py: row blocks shared among threads; and forms that
                         keep their digits
        families/        one family of losses, one file
    training/        short training runs, in plain NumPy on top of the losses
        run.py           what was asked for (Plan), checked and made ready (Run); tables.py: its rows
        objective.py     a loss as what a model is trained on: whether it fits, and its slope
        models.py        linear, mlp, boosted_trees; network.py, trees.py, activations.py: what they are made of
        optimizers.py, schedules.py, datasets.py, metrics.py  one function each, by name
        learners.py      how a model learns for one epoch
        fit.py           epoch after epoch, from a state that can be saved
        result.py        the model that is kept
        diagnosis.py     what went wrong, and what to try; symptoms.py: the numbers it goes by
    wire/            bytes to values and back
        json.py          arrays from JSON and back, fast; exact.py: where that is not enough; faults.py: what is wrong there
        tensors.py       tensors of the Open Inference Protocol
        events.py, packing.py  server-sent events; packed answers
    serving/         how any call is carried: bodies.py, headers.py, problems.py
    api/             what calls there are: one router, one file
        specs.py         registry to Pydantic

Imports run one way: main -> api -> serving -> wire, training -> losses -> registry, errors -> NumPy.
"""
