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
    """Classify rows from the table alone, with an encoder that photos have taught.

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
        Columns with photos, to be left out. None is that of ``pretrainer``; another one is for a
        pretrainer that is fitted already, on frames that called it otherwise.
    group_column : column label, default=None
        Rows of one group never stand on both sides of an inner split. It is not a feature and may
        be absent at prediction. None and another one are as for ``image_column``.
    categorical_features : None, "from_dtype" or array-like of str, int or bool, default=None
        As in `MultiModalPretrainer`. Beside a pretrainer that is fitted already, or has a word of
        its own, it must name the same columns; any other is told of it.
    tabular_encoder : {"resnet1d_cbam", "resnet1d", "mlp"} or callable, default="resnet1d_cbam"
        As in `MultiModalPretrainer`; serves when ``pretrainer`` is None.
    embedding_dim : int, default=256
        Width of the table embedding; serves when ``pretrainer`` is None.
    finetune : {"auto", "full", "frozen", "gradual"}, default="auto"
        "frozen" fits a penalised linear head on the fixed encoder; "full" goes on from there and
        trains encoder and head; "gradual" lets the encoder's parts join one after the other. "auto"
        blends: networks fine-tuned in full, a linear model of columns and embedding, a linear model
        and two forests of the columns alone and, where `fit` is given `Unlabeled` rows and photos,
        students of those photos. Their shares follow from how well they predict inner held-out
        rows, so that a pre-training that does not pay does no harm.
    head : {"embedding+columns", "embedding"}, default="embedding+columns"
        What the networks' heads see: the embedding with the encoded columns beside it, or alone.
    n_members : int, default=1
        Number of networks, fine-tuned from different seeds, whose predictions are averaged; under
        "auto" for each inner fold.
    dropout : float in [0, 1), default=0.1
        Inside the encoder and before the head, in fine-tuning.
    max_epochs : int, default=30
        At most; training stops early where rows can be split off for validation.
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
        Share of the rows, by group and class, that early stopping looks at. None never splits.
    callbacks : list of skorch callbacks, default=None
        Of fine-tuning. Those that cannot work here are refused by name.
    class_weight : dict, "balanced" or None, default=None
        Weight of each class, multiplied with ``sample_weight``.
    device : str, default="auto"
        "auto" takes CUDA where it is there.
    precision : {"auto", "float32", "bfloat16"}, default="auto"
        Of fine-tuning; "auto" is float32, since table networks are too small to gain from less.
        Prediction always runs in float32.
    memory : str, joblib.Memory or None, default=None
        Caches the fitted pretrainer, so that a search over fine-tuning does not repeat it.
    checkpoint_dir : str or Path, default=None
        An interrupted fit goes on from the checkpoints written there when it is called again with
        equal data and parameters; ``random_state=None`` finds its seed there. Also for a pretrainer
        that is fitted along and has no directory of its own. Removed when the fit is complete.
    time_limit : float, default=None
        Seconds for fine-tuning, inner validation included, shared out to the networks that are
        trained; linear models and forests are not counted. The pretrainer has its own.
    warm_start : bool, default=False
        Go on from the networks of the last fit; pre-training is not repeated. A blend ("auto")
        cannot go on.
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
    members_ : list
        The fitted models, each with the ``name`` of what it is and its ``weight``, its share in the
        prediction.
    weights_ : dict of str to float
        The shares by name, of sum 1: "columns", "random_forest", "extra_trees", "network",
        "embedding" (with a pretrainer) and "distilled" (with photos to distil from); without "auto"
        just the way of fine-tuning.
    validation_losses_ : dict of str to float
        Mean loss of each of these alone on inner held-out rows; empty without "auto", or where the
        rows cannot be split.
    history_ : list of dict
        One entry per trained network, ``member`` being its place in ``members_``, and epoch. Those
        of a network that diverged and was trained again hold ``lr_factor``, its share of ``lr``.
    n_features_in_ : int
        Number of columns, without image and group columns.
    feature_names_in_ : ndarray of str
        Only where the columns' names are all strings.

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
    table_encoder_class = FixedColumns
