"""`MTCMTMClassifier`: classes predicted from the table alone."""

from __future__ import annotations

from dataclasses import dataclass

from tabimg.estimators.base_classifier_regressor import FineTunedClassifier
from tabimg.estimators.fixed_columns import FixedColumns
from tabimg.estimators.loaded import check_loaded
from tabimg.estimators.mtcmtm_pretrainer import MultiModalPretrainer
from tabimg.estimators.shared_parameters import FixedColumnsParameters
from tabimg.serialization import register


@register(check=check_loaded)
@dataclass(eq=False, repr=False, kw_only=True)
class MTCMTMClassifier(FixedColumnsParameters, FineTunedClassifier):
    """Classify rows from the table alone, with an encoder taught by photos.

    MT-CMTM (Roy et al., "Code and Pixels", arXiv 2501.07304): the table encoder of a
    `MultiModalPretrainer` is fine-tuned under a linear head with cross-entropy and, by default,
    blended with simpler models of the same rows. Without a pretrainer the network is trained from
    scratch; with ``finetune="full"`` that is the paper's baseline.

    Parameters
    ----------
    pretrainer : MultiModalPretrainer, FrozenEstimator, str, Path or None, default=None
        Where the table encoder comes from. An unfitted `MultiModalPretrainer` is cloned and fitted
        on the rows given to `fit`, photos included; ``FrozenEstimator(fitted)`` or the directory of
        a saved one is used as it is, and is never changed. None trains from scratch.
    image_column : column label, list of labels or None, default=None
        Columns with photos, which are not features. None takes those of ``pretrainer``; set it only
        if a pretrainer was already fitted on frames that name them differently.
    group_column : column label, default=None
        Rows of one group are never on both sides of an inner split. It is not a feature and may be
        absent at prediction. None and other names work as for ``image_column``.
    categorical_features : None, "from_dtype" or array-like of str, int or bool, default=None
        As in `MultiModalPretrainer`. It must name the same columns as a pretrainer that is already
        fitted or sets it too; any other pretrainer takes it over.
    tabular_encoder : {"resnet1d_cbam", "resnet1d", "mlp"} or callable, default="resnet1d_cbam"
        As in `MultiModalPretrainer`; used only if ``pretrainer`` is None.
    embedding_dim : int, default=256
        Width of the table embedding; used only if ``pretrainer`` is None.
    predict_modality : {"table", "auto", "image", "both"}, default="table"
        What predictions use: the table alone, even if there are photos; the photo alone, with or
        without a table; both, by their embeddings side by side; or whatever each row has ("auto").
        Of several photos the first counts. All but "table" need a `fit` that already has one of
        them, with photos of labelled rows and a pretrainer that keeps its image encoder; they use
        linear models and forests on top of the fixed encoders.
    finetune : {"auto", "full", "frozen", "gradual"}, default="auto"
        "frozen" fits a penalised linear head on the fixed encoder; "full" then trains encoder and
        head; "gradual" unfreezes the encoder part by part. "auto" blends fully fine-tuned networks,
        a linear model on columns and embedding, and a linear model, two forests and boosted trees
        on the columns alone. If `fit` is given photos, it adds a linear model on what the columns
        say about them and, with `Unlabeled` rows, students of those photos. Their weights depend on
        how well they predict inner held-out rows, so pre-training that does not help does no harm.
    head : {"embedding+columns", "embedding"}, default="embedding+columns"
        What the networks' heads see: the embedding and the encoded columns, or the embedding alone.
    members : list of (str, estimator), default=None
        Your own estimators, which join the blend of "auto" under their names: on the encoded
        columns, on these with embedding and imputed photo ("NAME_with_embedding"), as students of
        photos ("NAME_student"), and as a part of their teacher. They see float32 features and
        standardised targets. An estimator that holds them can be pickled, but not saved.
    excluded_members : list of str, default=None
        Members that a blend (``finetune="auto"``) is made without, by their names in ``report_``:
        "columns" (linear), "random_forest", "extra_trees", "boosting", "network", "embedding",
        "imputed", "linear_student", "forest_student" and "boosted_student". The network takes most
        of the time of a fit.
    photo_control : bool, default=False
        Also fit what learns from photos with shuffled photos, and with a teacher that sees none, to
        compare losses in ``report_``: a gain that remains is not the photos'. Takes up to three
        times as long; predictions do not change.
    n_members : int, default=1
        Number of networks, fine-tuned from different seeds, whose predictions are averaged; with
        "auto", per inner fold.
    dropout : float in [0, 1), default=0.1
        Inside the encoder and before the head, in fine-tuning.
    max_epochs : int, default=30
        At most; training stops early if rows can be split off for validation.
    patience : int, default=10
        Epochs without a lower validation loss after which training stops.
    batch_size : int, default=64
        At least 4.
    lr : float, default=2e-3
        Peak learning rate of the head, one-cycle schedule stepped per batch.
    encoder_lr_ratio : float, default=0.3
        The encoder's learning rate as a share of ``lr``.
    weight_decay : float, default=1e-4
        Of AdamW; biases and norm scales are not decayed.
    validation_fraction : float in (0, 0.5] or None, default=0.15
        Share of the rows, split by group and class, used for early stopping. None never splits.
    callbacks : list of skorch callbacks, default=None
        For fine-tuning. Those that cannot work here raise an error that names them.
    class_weight : dict, "balanced" or None, default=None
        Weight of each class, multiplied with ``sample_weight``.
    device : str, default="auto"
        "auto" uses CUDA if it is available.
    precision : {"auto", "float32", "bfloat16"}, default="auto"
        For fine-tuning; "auto" is float32, since table networks are too small to gain from lower
        precision. Prediction always runs in float32.
    n_jobs : int, default=None
        Threads that fit the networks of the inner folds and the forests of a blend; -1 means all
        processors. The result does not depend on it. None is 1, or what
        ``joblib.parallel_config`` says.
    memory : str, joblib.Memory or None, default=None
        Caches the fitted pretrainer, so that a search over fine-tuning does not repeat it.
    checkpoint_dir : str or Path, default=None
        An interrupted fit resumes from the checkpoints written there when it is called again with
        the same data and parameters; ``random_state=None`` finds its seed there. Also used by a
        pretrainer that is fitted here and sets none. Removed when the fit is complete.
    time_limit : float, default=None
        Seconds for fine-tuning, including inner validation, divided among the networks that are
        trained; linear models and trees do not count. The pretrainer has its own limit.
    warm_start : bool, default=False
        Continue from the networks of the last fit; pre-training is not repeated. A blend ("auto")
        cannot be continued.
    random_state : int, RandomState or None, default=None
        Also seeds a pretrainer whose own ``random_state`` is None.
    verbose : int, default=0
        1 shows progress bars.

    Attributes
    ----------
    classes_ : ndarray of shape (n_classes,)
        The labels, sorted.
    pretrainer_ : MultiModalPretrainer or None
        The fitted pretrainer.
    codec_ : TableCodec
        Turns tables into numbers.
    imputer_ : PhotoImputer or None
        Predicts features of a row's photo from its columns; None if there was nothing to learn.
    photo_members_ : dict of str to list, or None
        The models that predict from the photo ("image"), and from table and photo ("both"); empty
        if `fit` saw no photos of labelled rows, None if its ``predict_modality`` was "table".
    members_ : list
        The fitted models, each with its ``name`` and its ``weight`` in the prediction.
    weights_ : dict of str to float
        The weights by name, summing to 1: "columns", "random_forest", "extra_trees", "network",
        "boosting" (from 100 labelled rows on, up to 20 outputs), "embedding" (with a pretrainer),
        "imputed" (with photos that the columns say something about), and "linear_student",
        "forest_student" and, up to 3 outputs, "boosted_student" (with photos to distil from);
        without "auto" only the way of fine-tuning.
    report_ : FitReport
        What the fit found out: the held-out loss of the blend, of the columns alone and of each
        member, weights and seconds. ``print(report_)`` shows it, ``report_.to_frame()`` is a table.
    validation_losses_ : dict of str to float
        Mean loss of each of these alone on inner held-out rows; empty without "auto", or if the
        rows cannot be split.
    history_ : list of dict
        One entry per trained network and epoch; ``member`` is the network's position in
        ``members_``. For a network that diverged and was trained again, ``lr_factor`` is the share
        of ``lr`` used.
    n_features_in_ : int
        Number of columns, without image and group columns.
    feature_names_in_ : ndarray of str
        Only if all column names are strings.

    See Also
    --------
    MTCMTMRegressor : The same for numbers.
    MultiModalPretrainer : The pre-training, and the embedding as a transformer.

    Examples
    --------
    >>> from tabimg import MTCMTMClassifier, MultiModalPretrainer
    >>> from tabimg.datasets import make_cars
    >>> data = make_cars(n_samples=120, n_classes=5, image_size=32, random_state=0)
    >>> classifier = MTCMTMClassifier(
    ...     pretrainer=MultiModalPretrainer(
    ...         image_column="photo", image_size=32, max_epochs=1, embedding_dim=16
    ...     ),
    ...     finetune="frozen",
    ...     random_state=0,
    ... )
    >>> table = data.data.drop(columns="photo")
    >>> classifier.fit(data.data, data.target).predict_proba(table).shape
    (120, 5)
    """

    pretrainer_class = MultiModalPretrainer
    _table_encoder_class = FixedColumns
