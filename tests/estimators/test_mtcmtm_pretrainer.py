"""The transformer: outputs and their names, photos' embeddings, going on, stopping early."""

from __future__ import annotations

import copy
import os
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pandas as pd
import polars as pl
import pytest
import torch
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from skorch.callbacks import Callback
from torch import nn

from tabimg import MultiModalPretrainer

# --- outputs -------------------------------------------------------------------------------------


def test_passthrough_appends_the_encoded_columns(
    frame: pd.DataFrame, table: pd.DataFrame, make: Any
) -> None:
    plain = make.pretrainer().fit(frame)
    both = make.pretrainer(passthrough=True).fit(frame)
    given = both.transform(table)
    np.testing.assert_array_equal(given[:, :8], plain.transform(table))
    np.testing.assert_array_equal(given[:, 8:], both.codec_.to_matrix(both.codec_.encode(table)))
    names = [f"multimodalpretrainer{i}" for i in range(8)]
    assert list(plain.get_feature_names_out()) == names
    assert list(both.get_feature_names_out()) == names + both.codec_.matrix_names()
    assert given.shape == (40, len(both.get_feature_names_out())) == (40, 8 + 6)


@pytest.mark.parametrize("passthrough", [False, True])
def test_set_output_gives_named_frames(passthrough: bool, frame: pd.DataFrame, make: Any) -> None:
    pre = make.pretrainer(passthrough=passthrough).fit(frame)
    plain = pre.transform(frame)
    shuffled = frame[::-1]
    as_pandas = pre.set_output(transform="pandas").transform(shuffled)
    assert isinstance(as_pandas, pd.DataFrame)
    assert list(as_pandas.columns) == list(pre.get_feature_names_out())
    assert list(as_pandas.index) == list(shuffled.index)
    np.testing.assert_array_equal(as_pandas.to_numpy(), plain[::-1])
    as_polars = pre.set_output(transform="polars").transform(frame)
    assert isinstance(as_polars, pl.DataFrame)
    assert as_polars.columns == list(pre.get_feature_names_out())
    np.testing.assert_array_equal(as_polars.to_numpy(), plain)


def test_transform_takes_frames_with_and_without_photos(
    frame: pd.DataFrame, table: pd.DataFrame, fitted: MultiModalPretrainer
) -> None:
    expected = fitted.transform(table)
    np.testing.assert_array_equal(fitted.transform(frame), expected)
    np.testing.assert_array_equal(fitted.transform(frame.assign(photo="deleted.png")), expected)


def test_transform_refuses_another_table(table: pd.DataFrame, fitted: MultiModalPretrainer) -> None:
    with pytest.raises(ValueError, match="feature names"):
        fitted.transform(table.rename(columns={"width": "height"}))
    with pytest.raises(ValueError, match="feature names"):
        fitted.transform(table.drop(columns="width"))
    with pytest.raises(ValueError, match="'pressure'"):
        fitted.transform(table.assign(pressure="much"))


def test_unseen_category_and_missing_cells_are_embedded(
    table: pd.DataFrame, fitted: MultiModalPretrainer
) -> None:
    strange = table.assign(support="wood", width=np.nan)
    assert np.isfinite(fitted.transform(strange)).all()
    assert np.isfinite(fitted.transform(table.assign(support=None, pressure=None))).all()


def test_transform_before_fit_is_refused(table: pd.DataFrame, make: Any) -> None:
    for call in ("transform", "transform_images"):
        with pytest.raises(NotFittedError):
            getattr(make.pretrainer(), call)(table)
    with pytest.raises(NotFittedError):
        make.pretrainer().get_feature_names_out()


# --- photos --------------------------------------------------------------------------------------


def test_image_encoder_that_is_kept_embeds_photos(
    frame: pd.DataFrame, table: pd.DataFrame, fitted: MultiModalPretrainer
) -> None:
    embedded = fitted.transform_images(frame)
    assert embedded.shape == (40, 32)
    assert embedded.dtype == np.float32
    np.testing.assert_allclose(fitted.transform_images(list(frame["photo"])), embedded)
    np.testing.assert_allclose(fitted.transform_images(frame[5:6])[0], embedded[5], atol=1e-6)
    with pytest.raises(ValueError, match="image_column='photo' is not a column"):
        fitted.transform_images(table)


def test_image_encoder_that_is_not_kept_is_gone(
    frame: pd.DataFrame, fitted: MultiModalPretrainer, make: Any
) -> None:
    slim = make.pretrainer(keep_image_encoder=False).fit(frame)
    np.testing.assert_array_equal(slim.transform(frame), fitted.transform(frame))
    assert not any(name.startswith("image_encoder") for name in slim.network_.arrays)
    assert len(pickle.dumps(slim)) < len(pickle.dumps(fitted))
    with pytest.raises(AttributeError, match="keep_image_encoder=False"):
        slim.transform_images(frame)


def test_encoders_may_be_the_users_own(frame: pd.DataFrame, make: Any) -> None:
    pre = make.pretrainer(image_encoder=pooled_convolution, tabular_encoder=lazy_encoder)
    pre.fit(frame)
    assert pre.transform(frame).shape == (40, 5)
    assert pre.transform_images(frame).shape == (40, 3)


def pooled_convolution() -> nn.Module:
    return nn.Sequential(nn.Conv2d(3, 3, 3), nn.AdaptiveAvgPool2d(1), nn.Flatten())


def lazy_encoder() -> nn.Module:
    return nn.Sequential(nn.LazyLinear(7), nn.ReLU(), nn.Linear(7, 5))


def test_cache_dir_spares_the_second_decoding(
    frame: pd.DataFrame, tmp_path: Path, make: Any
) -> None:
    copied = []
    for path in frame["photo"]:
        copied.append(tmp_path / Path(path).name)
        copied[-1].write_bytes(Path(path).read_bytes())
    X = frame.assign(photo=pd.Series([str(path) for path in copied], dtype=object))
    first = make.pretrainer(cache_dir=tmp_path / "cache").fit(X)
    times = [(path, path.stat()) for path in copied]
    for path, stat in times:
        # Same size and time: what the cache goes by. The content could not be decoded.
        path.write_bytes(b"x" * stat.st_size)

        os.utime(path, ns=(stat.st_atime_ns, stat.st_mtime_ns))
    second = make.pretrainer(cache_dir=tmp_path / "cache").fit(X)
    np.testing.assert_array_equal(second.transform(X), first.transform(X))


# --- losses and history --------------------------------------------------------------------------


def test_history_reports_both_terms_weighted_and_unweighted(frame: pd.DataFrame, make: Any) -> None:
    pre = make.pretrainer(
        lambda_c=0.5, lambda_m=2.0, max_epochs=3, batch_size=8, validation_fraction=0.4
    ).fit(frame)
    assert [epoch["epoch"] for epoch in pre.history_] == [1, 2, 3]
    for epoch in pre.history_:
        for part in ("train", "valid"):
            contrastive, masked = epoch[f"{part}_contrastive"], epoch[f"{part}_masked"]
            assert epoch[f"{part}_contrastive_weighted"] == pytest.approx(0.5 * contrastive)
            assert epoch[f"{part}_masked_weighted"] == pytest.approx(2.0 * masked)
            assert epoch[f"{part}_loss"] == pytest.approx(
                0.5 * contrastive + 2.0 * masked, rel=1e-4
            )
        assert epoch["gradient_norm"] > 0
    assert len(pd.DataFrame(pre.history_)) == 3


@pytest.mark.parametrize(
    ("params", "absent"), [({"lambda_c": 0}, "contrastive"), ({"lambda_m": 0}, "masked")]
)
def test_term_of_weight_zero_is_not_trained(
    params: dict[str, float], absent: str, frame: pd.DataFrame, make: Any
) -> None:
    history = make.pretrainer(**params).fit(frame).history_
    assert f"train_{absent}" not in history[0]


def test_pretraining_lowers_both_losses(frame: pd.DataFrame, make: Any) -> None:
    pre = make.pretrainer(max_epochs=20, lr=1e-2, augmentation="none", validation_fraction=None)
    # The columns are independent of each other: one that follows from another can be restored.
    history = pre.fit(frame.assign(half=frame["pressure"] / 2)).history_
    # An epoch masks few cells: the loss of a single one is a matter of chance.
    early, late = pd.DataFrame(history[:10]).mean(), pd.DataFrame(history[10:]).mean()
    for term in ("contrastive", "masked"):
        assert late[f"train_{term}"] < 0.9 * early[f"train_{term}"]


def test_corruptions_train_different_encoders(
    table: pd.DataFrame, frame: pd.DataFrame, make: Any
) -> None:
    embeddings = [
        make.pretrainer(corruption=name).fit(frame).transform(table)
        for name in ("marginal", "mean", "zero", "token")
    ]
    for number, embedding in enumerate(embeddings):
        assert np.isfinite(embedding).all()
        for other in embeddings[:number]:
            assert other.shape == embedding.shape and not np.array_equal(other, embedding)


def test_token_of_masked_cells_is_learned_for_every_numeric_column(
    frame: pd.DataFrame, make: Any
) -> None:
    fills = {}
    for name in ("marginal", "token"):
        pretrainer = make.pretrainer(corruption=name, validation_fraction=None).fit(frame)
        fills[name] = pretrainer.network_.build().row_embedding.fill_value
    assert fills["marginal"] is None or len(fills["marginal"]) < len(fills["token"])
    assert (fills["token"] != 0).all()


def test_divergence_is_told_with_epoch_and_term(frame: pd.DataFrame, make: Any) -> None:
    with pytest.raises(FloatingPointError, match=r"pre-training diverged in epoch \d+: .* is nan"):
        make.pretrainer(lr=1e30, max_epochs=3).fit(frame)


# --- going on and stopping -----------------------------------------------------------------------


def test_warm_start_goes_on_from_the_last_weights(
    frame: pd.DataFrame, make: Any, weights: Any
) -> None:
    pre = make.pretrainer(warm_start=True, max_epochs=8, lr=3e-3)
    first = weights(pre.fit(frame))
    loss = pre.history_[-1]["train_loss"]
    second = weights(pre.fit(frame))
    assert any(not np.array_equal(first[name], second[name]) for name in first)
    assert pre.history_[-1]["train_loss"] < loss
    cold = weights(clone(pre).set_params(warm_start=False).fit(frame).fit(frame))
    assert all(np.array_equal(cold[name], first[name]) for name in first)


def test_warm_start_without_the_image_encoder_is_refused(frame: pd.DataFrame, make: Any) -> None:
    pre = make.pretrainer(warm_start=True, keep_image_encoder=False).fit(frame)
    with pytest.raises(ValueError, match="keep_image_encoder=True"):
        pre.fit(frame)


def test_warm_start_without_an_image_encoder_and_with_image_paths_is_refused(
    frame: pd.DataFrame, table: pd.DataFrame, make: Any
) -> None:
    pre = make.pretrainer(warm_start=True, image_column=None).fit(table)
    with pytest.raises(ValueError, match="warm_start cannot continue with photos"):
        pre.fit(table, image_paths=list(frame["photo"]))


def test_time_limit_shortens_the_schedule(frame: pd.DataFrame, make: Any) -> None:
    pre = make.pretrainer(max_epochs=1_000_000, time_limit=0.5, lr=1e-3).fit(frame)
    assert 1 <= len(pre.history_) < 100_000
    assert pre.history_[-1]["lr"] < 5e-4


def test_interrupted_fit_goes_on_from_its_checkpoint(
    frame: pd.DataFrame, tmp_path: Path, make: Any, weights: Any
) -> None:
    params = {"max_epochs": 5, "batch_size": 8, "validation_fraction": 0.4}
    whole = make.pretrainer(**params).fit(frame)
    with pytest.raises(RuntimeError, match="power cut"):
        make.pretrainer(callbacks=[PowerCut()], checkpoint_dir=tmp_path, **params).fit(frame)
    assert any(tmp_path.iterdir())
    CountEpochs.numbers.clear()
    resumed = make.pretrainer(callbacks=[CountEpochs()], checkpoint_dir=tmp_path, **params)
    resumed.fit(frame)
    assert CountEpochs.numbers[-1] == 5
    assert len(CountEpochs.numbers) < 5
    np.testing.assert_equal(weights(resumed), weights(whole))
    assert [e["train_loss"] for e in resumed.history_] == [e["train_loss"] for e in whole.history_]
    assert not any(tmp_path.iterdir())


class CountEpochs(Callback):
    """Counts over all copies: each fit copies the callbacks it is given."""

    numbers: ClassVar[list[int]] = []

    def on_epoch_end(self, net: Any, **kwargs: Any) -> None:
        self.numbers.append(net.history[-1]["epoch"])


class PowerCut(Callback):
    def on_epoch_end(self, net: Any, **kwargs: Any) -> None:
        if net.history[-1]["epoch"] == 3:
            raise RuntimeError("power cut")


# --- weights of rows, parameters, state ----------------------------------------------------------


def test_sample_weight_changes_the_embedding(frame: pd.DataFrame, make: Any) -> None:
    plain = make.pretrainer().fit(frame).transform(frame)
    ones = make.pretrainer().fit(frame, sample_weight=np.ones(40)).transform(frame)
    uneven = make.pretrainer().fit(frame, sample_weight=np.linspace(0, 3, 40)).transform(frame)
    np.testing.assert_array_equal(ones, plain)
    assert not np.array_equal(uneven, plain)
    with pytest.raises(ValueError, match="sample_weight"):
        make.pretrainer().fit(frame, sample_weight=-np.ones(40))


def test_target_changes_no_weight(frame: pd.DataFrame, target: np.ndarray, make: Any) -> None:
    np.testing.assert_array_equal(
        make.pretrainer().fit(frame, target).transform(frame),
        make.pretrainer().fit(frame).transform(frame),
    )


def test_fit_transform_equals_fit_then_transform(frame: pd.DataFrame, make: Any) -> None:
    np.testing.assert_array_equal(
        make.pretrainer().fit_transform(frame), make.pretrainer().fit(frame).transform(frame)
    )


def test_parameters_stay_as_they_were_and_clone_is_unfitted(frame: pd.DataFrame, make: Any) -> None:
    pre = make.pretrainer(augmentation={"flip": False}, callbacks=[CountEpochs()])
    before = {name: (id(value), repr(value)) for name, value in pre.get_params().items()}
    pre.fit(frame).transform(frame)
    assert {n: (id(v), repr(v)) for n, v in pre.get_params().items()} == before
    assert not hasattr(clone(pre), "network_")


def test_fit_leaves_the_frame_as_it_was(frame: pd.DataFrame, make: Any) -> None:
    before = frame.copy(deep=True)
    make.pretrainer().fit(frame).transform(frame)
    pd.testing.assert_frame_equal(frame, before)


@pytest.mark.parametrize("copied", [copy.deepcopy, lambda e: pickle.loads(pickle.dumps(e))])
def test_copy_of_any_kind_embeds_equally(
    copied: Callable[[Any], Any], frame: pd.DataFrame, fitted: MultiModalPretrainer
) -> None:
    expected = fitted.transform(frame)
    other = copied(fitted)
    np.testing.assert_array_equal(other.transform(frame), expected)
    np.testing.assert_array_equal(other.transform_images(frame), fitted.transform_images(frame))
    assert not any(isinstance(v, (nn.Module, torch.Tensor)) for v in vars(other).values())


# --- what a user may stumble over ----------------------------------------------------------------


def test_batch_without_any_photo_embeds_as_nan(frame: pd.DataFrame, make: Any) -> None:
    pre = make.pretrainer().fit(frame)
    embedded = pre.transform_images(frame[:3].assign(photo=None))
    assert embedded.shape == pre.transform_images(frame[:3]).shape
    assert np.isnan(embedded).all()


def test_some_of_several_image_columns_may_be_absent_at_prediction(
    frame: pd.DataFrame, table: pd.DataFrame, make: Any
) -> None:
    both = frame.assign(second=frame["photo"])
    pre = make.pretrainer(image_column=["photo", "second"]).fit(both)
    np.testing.assert_array_equal(pre.transform(frame), pre.transform(table))
    with pytest.raises(ValueError, match="image_column='second' is not a column of X"):
        make.pretrainer(image_column=["photo", "second"]).fit(frame)


def test_tuple_is_the_label_of_one_column(frame: pd.DataFrame, make: Any) -> None:
    under_headers = frame.set_axis(
        pd.MultiIndex.from_tuples([("all", name) for name in frame.columns]), axis=1
    )
    pre = make.pretrainer(image_column=("all", "photo")).fit(under_headers)
    assert pre.n_features_in_ == frame.shape[1] - 1
    assert pre.network_.architecture.image is not None


def test_lazy_frame_is_told_to_be_collected(frame: pd.DataFrame, make: Any) -> None:
    with pytest.raises(TypeError, match="collect"):
        make.pretrainer().fit(pl.from_pandas(frame).lazy())


def test_column_name_that_stands_twice_is_named(table: pd.DataFrame, make: Any) -> None:
    doubled = pd.concat([table, table[["pressure"]]], axis=1)
    with pytest.raises(ValueError, match="more than one column named 'pressure'"):
        make.pretrainer(image_column=None).fit(doubled)


@pytest.mark.parametrize("change", [{"embedding_dim": 4}, {"projection_dim": 4}])
def test_warm_start_with_another_network_is_refused(
    change: dict[str, int], frame: pd.DataFrame, make: Any
) -> None:
    pre = make.pretrainer(warm_start=True).fit(frame)
    with pytest.raises(ValueError, match="set them back"):
        pre.set_params(**change).fit(frame)


def test_auto_epochs_are_what_is_trained(table: pd.DataFrame, make: Any) -> None:
    pre = make.pretrainer(image_column=None, max_epochs="auto").fit(table)
    assert len(pre.history_) == 100  # 40 rows
    with pytest.raises(TypeError, match="max_epochs"):
        make.pretrainer(image_column=None, max_epochs="many").fit(table)
