"""Criterion: loss functions over HTTP.

    __main__.py      python -m app: main.py in the environment that makes it fast
    main.py          create_app(settings): wiring as a table of contents
    settings.py      Settings, from CRITERION_* variables
    version.py       the release
    client.py        a client, which needs httpx and NumPy and nothing else of this
    errors.py        CallerError and its tree: what can be wrong with a request
    registry.py      every declared thing of a kind, by name and alias
    suggestions.py   what other libraries call the same, and what a misspelt word probably means
    libraries.py     what other libraries call it: their versions and prefixes, and calls that give the same
    domains.py       what numbers may be, as values: intervals, whole numbers, labels, shares of a row
    losses/          the losses and their evaluation, in plain NumPy; nothing in there knows of HTTP
        loss.py          what a loss is: @loss and its properties
        inputs.py        what a loss takes: encodings, names and shapes
        encodings.py     the encodings themselves
        labels.py        what losses of labels take beside their own parameters; parameters.py: what a list holds a number for
        formula.py       formulas as trees; symbols.py: what their symbols mean; guide.py: what a docstring tells a learner
        search.py        losses by what people ask for
        form.py          what follows from parameters and shapes before a number is seen, decided once
        batch.py         one call's arrays, checked: what counts, and its elements as rows; layout.py: where these lie
        evaluate.py      from the losses of elements to one number and its derivatives
        outputs.py       what can be asked of an evaluation, each output declared once; samples.py: whose elements are whose
        composed.py      losses made for a request: asymmetric, weighted_sum, multi_task, expression; sums.py: several at once
        expressions/     losses written as text: read, derived, computed, and what can be told of them
        penalty.py       what weights cost beside a loss
        merging.py       batches that are parts of one: what each adds, and what they come to (numerics/exactly.py)
        numerics/        means.py: how many losses become one; blocks.py: row blocks shared among threads; limits.py:
                         losses of infinite scores; and forms that keep their digits
        families/        one family of losses, one file
    insight/         what a loss says: how sure it is, where it comes from, which model is better
        analysis.py      one loss on one batch (POST /v1/analyze); comparison.py: models side by side (POST /v1/compare)
        measured.py      a loss sample by sample, and how it is put together again; labels.py: groups and clusters of samples
        repeats.py       scores of repeated runs, and differences of variants
        repeats.py       scores of repeated runs, and how far apart variants are
        intervals.py     standard error and intervals; bootstrap.py, significance.py: what they and p-values are made with
        distribution.py, groups.py                 where a loss comes from
        readings.py      what predictions mean; residuals.py, calibration.py, confusion.py, coverage.py: how good they are
        checking.py      somebody's own loss beside the reference (POST /v1/check-gradient); agreement.py: of numbers;
                         conventions.py: why they differ; differences.py: the reference itself, and its kinks
        recommend.py     which losses suit (POST /v1/recommend); described.py: some targets; traits.py: what these are like
        pieces.py        long arrays, a piece at a time; parts.py: batches that are parts of one, and quantiles from a sketch
    training/        short training runs, in plain NumPy on top of the losses
        run.py           what was asked for (Plan), checked and made ready (Run); tables.py, weights.py: its rows
        agreement.py     a loss as what a model is trained on: objective.py of one array, heads.py of several (side_by_side.py),
                         embeddings.py of rows that labels put together (drawn.py)
        learned.py       parameters of a loss that move with the weights
        models.py        linear, mlp, boosted_trees, ...; network.py, trees.py, activations.py: what they are made of
        boosting.py      trees on the slopes of a loss; slopes.py, leaf_values.py: their leaves; bins.py: how they are grown
        forest.py        decision trees and forests; criteria.py: what splits them; columns.py: categories and constraints
        optimizers.py, schedules.py, datasets.py, metrics.py  one function each, by name; corners.py: minima without a slope
        learners.py      how a model learns for one epoch
        fit.py           epoch after epoch, from a state that can be saved
        result.py        the model that is kept; decisions.py: predictions as decisions between classes
        splits.py        which rows are held out: a share, or a fold of several; elsewhere.py: what a model is worth on others
        halving.py       which trials of a search go on; grammar.py: losses that are drawn; learning_rate.py: which rates train
        trained.py       that model as a value, which predicts by itself; exported.py: as an ONNX file
        resuming.py      a run that goes on from it; resumable.py: whether it can
        diagnosis/       what went wrong, and what to try: rules, one function each, and what they go by
    insight/         what losses tell beyond their value, as plain values
        curves.py        a loss of one number along its axis: slope, curvature, kinks, asymptotes
        charts/          one function a chart, from an answer to a definition in Vega-Lite; theme.py: how all of them look
    wire/            bytes to values and back, and nobody else knows both
        json.py          JSON to arrays; long.py: long ones in pieces; exact.py and faults.py: what is no plain array, why not
        partitions.py    files that are parts of one table, a block of rows at a time; arrow.py: those of pyarrow;
                         npy.py: files that grow by such blocks; outlines.py: columns and rows of a file;
                         lines.py: rows of NDJSON, as they come; stores.py: where files lie, on the disk or in object stores
        tensors.py       binary tensors; events.py: server-sent events; packing.py, unpacking.py: gzip and zstd
        pictures.py      charts as SVG and PNG
    serving/         how any call is carried: one pipeline, one pool of processes
        call.py          a call as a value; routes.py, address.py: how it is found, and its parameters in the address
        pipeline.py      observe, find, guard, read, decode, check, place, call, encode: the order in which it happens
        exchange.py      one request and its answer on the wire: what every answer carries
        guards.py        what is asked of every request before its body is read; cors.py: pages of other origins
        bodies.py        bodies as they arrive, within budget.py; buffers.py: memory that processes share; flow.py: what one reads
                         while it comes
        steps.py         decode, check, call, encode: here or in a process
        keys.py          who asks; key_file.py: the keys in force; quotas.py: what a name may have; slots.py: whose turn it is
        observation.py   one count and one line of the log for each request; usage.py: what it asks for
        metrics.py       counts as Prometheus reads them; tally.py, shared.py: where all processes count together; log.py
        replies.py       whole answers, constant ones, streams; pictures.py: answers that are wanted as a picture
        host.py          has the jobs of a file done; worker.py: the process that does; pieces.py: from checkpoint to checkpoint
        mlflow.py        trainings that have ended, told to an MLflow server
        pool.py          lanes.py, processes.py, template.py, child.py, work.py: processes, forked from one
        idempotency.py   the first answer again to who sends the same request again under the same Idempotency-Key
        problems.py      errors as answers; unknown.py: where a field that there is not belongs
        http11.py        HTTP on the socket, within limits; turns.py: whose bytes come next; server.py, workers.py: processes
        document.py      the calls as an OpenAPI document
    jobs/            work that outlives its request
        job.py           what a job is; store.py: every question and every change, in SQL; database.py: on a file or a server
        idempotency.py   whose Idempotency-Key stands for which request, and what was answered; tables.py: where all of it stands
        datasets.py      tables that are kept under a name, as files
        engine.py        DBOS: who does which job next, and goes on where a process has died; nothing else imports it
    api/             what calls there are: request, answer, function, one file a call; calls.py: the list of them
        evaluating.py, analyzing.py  the calls of evaluate.py and analyze.py, on data that is in files too
        reference.py     such data, block by block; referred.py: as a table in memory; sources.py: which files, and whether they
                         may be read;
                         blockwise.py: a block of rows, gathered.py: what those that are done have come to
        streaming.py     rows that come one after the other, however many (POST /v1/evaluate)
        datasets.py      what is kept beside what every run may name; listing.py: lists that are read a page at a time
        history.py       what is told of trainings that have ended, as runs.py lists it
        grid.py          runs of every combination; places.py: a request with other values at dotted paths
        trained.py       a trained model as JSON, in answers and requests
        specs.py         registry to Pydantic; mathml.py: formulas as MathML
        playground.py    the page at /; assets.py: files of pages, kept by browsers; vega.py: makes what draws their charts
    playground/      the page: HTML, CSS, and ES modules named after what one sees

Imports run one way: main -> api -> serving -> jobs, wire, insight, training -> losses -> domains, registry, errors -> NumPy.
"""
