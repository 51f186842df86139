"""The papers' protocols for anyone's data: ablation, label curve, sensitivity."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from pathlib import Path
from typing import Any

from tabimg.estimators import MultiModalPretrainer
from tabimg.evaluation.baselines import CORE_BASELINES
from tabimg.evaluation.data import read_data
from tabimg.evaluation.fingerprints import describe
from tabimg.evaluation.metrics import check_metric
from tabimg.evaluation.study.engine import run_study
from tabimg.evaluation.study.methods import Prototypes
from tabimg.evaluation.study.plan import Protocol
from tabimg.evaluation.study.planned import plan_ablation, settings_of, task_of
from tabimg.evaluation.study.presets import CURVE, fill_in
from tabimg.evaluation.study.results import StudyResult

# Both weights together, the other two separately, around the defaults.
SENSITIVITY_GRID = (
    {"lambda_c": [0.1, 0.3, 1.0, 3.0], "lambda_m": [0.1, 0.3, 1.0, 3.0]},
    {"mask_rate": [0.1, 0.3, 0.5, 0.7]},
    {"temperature": [0.03, 0.1, 0.3]},
)


def ablation_study(
    X: Any,
    y: Any,
    *,
    image_column: Hashable | Sequence[Hashable],
    image_root: str | Path | None = None,
    group_column: Hashable | None = None,
    task: str = "auto",
    metric: str | None = None,
    pretrainer: MultiModalPretrainer | None = None,
    estimator: Any = None,
    preset: str = "full",
    methods: Sequence[str] | None = None,
    baselines: Sequence[str] = CORE_BASELINES,
    extra_methods: Mapping[str, tuple[Any, ...]] | None = None,
    label_fractions: Sequence[float] | None = None,
    n_folds: int | None = None,
    n_repeats: int = 1,
    folds: Sequence[int] | None = None,
    n_draws: int | Mapping[float, int] | None = None,
    results_dir: str | Path | None = None,
    n_jobs: int | None = None,
    random_state: int = 0,
    verbose: int = 0,
) -> StudyResult:
    """Measure what photos at training time do for predictions from the table alone.

    Every method is scored on the same test rows of a repeated K-fold, by group and class, with the
    same labelled rows. Pre-training sees all training rows of a fold and no labels; the estimator
    is fitted on the labelled rows, and sees neither photos nor groups of the test rows.

    Parameters
    ----------
    X : DataFrame of shape (n_rows, n_columns)
        The table with its photo column, without the target. Every row must have a target.
    y : array of shape (n_rows,)
        Labels or numbers.
    image_column : column label or list of labels
        The photos; cells as in `MultiModalPretrainer`.
    image_root : str or Path, default=None
        Folder that relative paths start from; None uses that of ``pretrainer``.
    group_column : column label, default=None
        Rows of one group stay on one side of each split, and are labelled together. It is not a
        feature. See `image_groups`.
    task : {"auto", "classification", "regression"}, default="auto"
        "auto" goes by ``estimator``, else by ``y``.
    metric : str, default=None
        The metric in summaries; all metrics of the task are computed anyway. None is "accuracy" or
        "relative_mse".
    pretrainer : MultiModalPretrainer, default=None
        Unfitted prototype; None uses the defaults. Whatever its ``keep_image_encoder``, no image
        encoder is kept.
    estimator : MTCMTMClassifier or MTCMTMRegressor, default=None
        Unfitted prototype without a pretrainer; None uses the defaults.
    preset : {"full", "quick"}, default="full"
        What ``methods``, ``label_fractions``, ``n_folds``, ``folds`` and ``n_draws`` are unless
        they are given. "full" runs four methods, 5, 10, 25 and 100 % of the labels, five folds and
        three draws. "quick" takes minutes: "scratch" and "mt_cmtm", 10 and 100 % of the labels,
        three of these folds, one draw. Its cells are among those of "full", which finds them in
        ``results_dir``. `estimate_study_cost` says how long either takes.
    methods : sequence of str, default=None
        Any of "scratch" (no pre-training; the same network, head and budget), "masked_only"
        (``lambda_c=0``), "contrastive_only" (``lambda_m=0``), "mt_cmtm", "shuffled_photos" (the
        control: photos are shuffled among the training rows before pre-training) and
        "photo_at_test" ("scratch" with features of the photo among its columns, in training and at
        test: what photos could add at most; see `StudyResult.share`).
    baselines : sequence of str
        Names as in `make_baseline`.
    extra_methods : mapping of str to (pretrainer or None, estimator), default=None
        Your own variants. The estimator is an unfitted tabimg estimator that matches the
        pretrainer, such as a `CITabClassifier` with a `CITabPretrainer`, or, without a pretrainer,
        any scikit-learn estimator that takes the raw table, a classifier with ``predict_proba``. A
        third entry, ``Unlabeled(frames)``, holds further pairs for the pre-training of every fold,
        such as other cohorts by name; their photos are absolute paths or images.
    label_fractions : sequence of float in (0, 1], default=None
        Share of the training rows whose label may be used, at least two rows per class. Fractions
        that select the same rows are merged, as the budget's name shows ("5 % = 10 %").
    n_folds : int, default=None
        Number of folds.
    n_repeats : int, default=1
        How often the rows are split.
    folds : sequence of int, default=None
        Numbers of the folds to run, from 0; None runs all, or those of the preset. For a part of a
        long study, or a shorter one on the same folds.
    n_draws : int, or mapping of fraction to int, default=None
        How often labelled rows are drawn in each fold; all rows are drawn once.
    results_dir : str or Path, default=None
        Stores every cell as soon as it is finished, pre-trained encoders, and at the end
        ``scores.csv``. A study that is started again only computes what is missing; ``scores.csv``
        alone is enough to resume.
    n_jobs : int, default=None
        Processes; each computes one pre-training, or one method without any, in one fold, on one
        thread. None is 1, -1 all processors.
    random_state : int, default=0
        Determines folds, draws and the seeds of all methods; the prototypes' seeds are ignored.
    verbose : int, default=0
        1 prints a line for every finished unit of work.

    Returns
    -------
    StudyResult

    Raises
    ------
    ValueError, TypeError
        For invalid input, before anything is computed.
    FileNotFoundError
        If pre-training is still to be done and a photo is missing; names its row and file. Not
        checked if ``on_bad_image`` allows it, or with an ``image_loader``, which may read from
        elsewhere.
    tabimg.evaluation.CellError
        If a method fails; names method, fold and budget. Finished cells are kept.

    Notes
    -----
    A cell is recognised by a fingerprint of the table's cells, the photos' names, the rows and the
    parameters, not by its position: with changed data or parameters it is computed again. The
    content of image files and the version of tabimg are not part of it; use another ``results_dir``
    after changing these.

    Examples
    --------
    >>> from tabimg import MTCMTMRegressor, MultiModalPretrainer
    >>> from tabimg.datasets import make_membranes
    >>> from tabimg.evaluation import ablation_study
    >>> data = make_membranes(n_samples=60, image_size=32, random_state=0)
    >>> study = ablation_study(
    ...     data.data,
    ...     data.target,
    ...     image_column="photo",
    ...     pretrainer=MultiModalPretrainer(image_size=32, max_epochs=1, embedding_dim=16),
    ...     estimator=MTCMTMRegressor(finetune="frozen"),
    ...     methods=["mt_cmtm"],
    ...     baselines=["linear"],
    ...     label_fractions=[0.5, 1.0],
    ...     n_folds=2,
    ...     n_draws=1,
    ... )
    >>> study.scores.groupby(["budget", "method"])["r2"].mean().shape
    (4,)
    """
    plan = plan_ablation(
        X,
        y,
        image_column=image_column,
        image_root=image_root,
        group_column=group_column,
        task=task,
        metric=metric,
        pretrainer=pretrainer,
        estimator=estimator,
        baselines=baselines,
        extra_methods=extra_methods,
        preset=preset,
        methods=methods,
        label_fractions=label_fractions,
        n_folds=n_folds,
        n_repeats=n_repeats,
        folds=folds,
        n_draws=n_draws,
        random_state=random_state,
    )
    scores = run_study(plan.data, plan.methods, plan.protocol, results_dir, n_jobs, verbose)
    return StudyResult(scores, plan.metric, tuple(baselines), plan.settings)


def label_curve(
    X: Any,
    y: Any,
    *,
    image_column: Hashable | Sequence[Hashable],
    preset: str = "full",
    methods: Sequence[str] | None = None,
    label_fractions: Sequence[float] | None = None,
    **parameters: Any,
) -> StudyResult:
    """Measure scores against the number of labels: `ablation_study` over more fractions.

    Parameters
    ----------
    X, y, image_column
        As in `ablation_study`.
    preset : {"full", "quick"}, default="full"
        As in `ablation_study`, for "scratch" and "mt_cmtm". "full" runs 2, 5, 10, 25, 50 and 100 %
        of the labels, "quick" 5, 25 and 100 %.
    methods : sequence of str, default=None
    label_fractions : sequence of float in (0, 1], default=None
    **parameters
        Further parameters of `ablation_study`.

    Returns
    -------
    StudyResult
        Its ``plot()`` is the curve.
    """
    given = {"methods": methods, "label_fractions": label_fractions}
    given |= {name: parameters.pop(name, None) for name in ("n_folds", "folds", "n_draws")}
    chosen = fill_in(CURVE, preset, given)
    return ablation_study(X, y, image_column=image_column, **chosen, **parameters)


def sensitivity(
    X: Any,
    y: Any,
    *,
    image_column: Hashable | Sequence[Hashable],
    grid: Mapping[str, Sequence[Any]] | Sequence[Mapping[str, Sequence[Any]]] = SENSITIVITY_GRID,
    image_root: str | Path | None = None,
    group_column: Hashable | None = None,
    task: str = "auto",
    metric: str | None = None,
    pretrainer: MultiModalPretrainer | None = None,
    estimator: Any = None,
    label_fractions: Sequence[float] = (0.1, 1.0),
    n_folds: int = 5,
    n_repeats: int = 1,
    folds: Sequence[int] | None = None,
    n_draws: int | Mapping[float, int] = 3,
    results_dir: str | Path | None = None,
    n_jobs: int | None = None,
    random_state: int = 0,
    verbose: int = 0,
) -> StudyResult:
    """Measure how scores depend on the parameters of pre-training.

    Parameters
    ----------
    X, y, image_column
        As in `ablation_study`.
    grid : mapping of str to sequence, or a sequence of such mappings
        Parameters of `MultiModalPretrainer` with their values. All combinations within a mapping
        are run, as in `sklearn.model_selection.ParameterGrid`; a sequence of mappings is run one
        after the other. Each point costs one pre-training per fold. The default varies ``lambda_c``
        together with ``lambda_m``, and ``mask_rate`` and ``temperature`` separately.
    image_root, group_column, task, metric, pretrainer, estimator, results_dir
        As in `ablation_study`.
    label_fractions : sequence of float in (0, 1], default=(0.1, 1.0)
    n_folds : int, default=5
    n_draws : int, or mapping of fraction to int, default=3
    n_repeats, folds, n_jobs, random_state, verbose
        As in `ablation_study`.

    Returns
    -------
    StudyResult
        Methods are the grid points and "scratch"; ``scores`` has one more column per parameter, NaN
        if a point does not change it. Its ``heat_map()`` shows two of them.
    """
    data = read_data(X, y, image_column, group_column, task_of(task, estimator))
    prototypes = Prototypes.of(pretrainer, estimator, data, image_root)
    chosen = [*prototypes.built_in(["scratch"]), *prototypes.grid_points(grid)]
    protocol = Protocol(label_fractions, n_folds, n_repeats, n_draws, random_state, folds)
    scored_by = check_metric(metric, data.task)
    scores = run_study(data, chosen, protocol, results_dir, n_jobs, verbose)
    settings = {**settings_of(data, prototypes, protocol), "grid": describe(grid)}
    return StudyResult(scores, scored_by, (), settings)
