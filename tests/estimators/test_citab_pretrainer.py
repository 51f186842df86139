"""The pretrainer of cohorts: one model however they come, its parameters, photos and weights."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from sklearn.base import clone
from skorch.callbacks import Callback
from torch import nn

from tabimg import CITabPretrainer, Unlabeled
from tabimg.training import citab

Frames = dict[str, pd.DataFrame]


# --- one model, however the cohorts come ---------------------------------------------------------


def test_stacked_frame_and_mapping_train_bit_equally(
    cohorts: Frames, stacked: pd.DataFrame, make: Any, weights: Any
) -> None:
    by_mapping = make.citab(lambda_mtr=0.5).fit(cohorts)
    by_frame = make.citab(lambda_mtr=0.5, cohort_column="clinic").fit(stacked)
    np.testing.assert_equal(weights(by_mapping), weights(by_frame))
    embedding = by_frame.transform(stacked)
    assert embedding.shape == (40, 8) and embedding.dtype == np.float32
    assert np.isfinite(embedding).all() and len(np.unique(embedding, axis=0)) == 40
    np.testing.assert_array_equal(by_mapping.transform(cohorts), embedding)
    np.testing.assert_array_equal(
        by_mapping.transform_images(cohorts), by_frame.transform_images(stacked)
    )
    shuffled = stacked[stacked.columns[::-1]]
    other = make.citab(lambda_mtr=0.5, cohort_column="clinic").fit(shuffled)
    np.testing.assert_equal(weights(other), weights(by_frame))


def test_embedding_does_not_depend_on_the_order_of_rows_columns_or_cohorts(
    citab_of_two: CITabPretrainer, with_vectors: pd.DataFrame
) -> None:
    expected = citab_of_two.transform(with_vectors)
    order = np.random.default_rng(0).permutation(40)
    mixed = citab_of_two.transform(with_vectors.iloc[order])
    np.testing.assert_allclose(mixed, expected[order], atol=1e-6)
    turned = with_vectors[with_vectors.columns[::-1]]
    np.testing.assert_allclose(citab_of_two.transform(turned), expected, atol=1e-6)
    by_name = {name: with_vectors[with_vectors["clinic"] == name] for name in ("south", "north")}
    found = citab_of_two.transform(by_name)
    np.testing.assert_allclose(np.vstack([found[16:], found[:16]]), expected, atol=1e-6)


def test_row_alone_is_embedded_as_in_a_batch(
    citab_of_two: CITabPretrainer, with_vectors: pd.DataFrame
) -> None:
    blank = with_vectors.copy()
    blank.loc[[2, 30], ["width", "pressure", "support", "SupportMaterial", "mass"]] = np.nan
    blank.loc[[2, 30], "photo_grade"] = None
    together = citab_of_two.transform(blank)
    for row in (0, 2, 3, 25, 30, 39):
        alone = citab_of_two.transform(blank.iloc[[row]])
        np.testing.assert_allclose(alone[0], together[row], atol=1e-6)


def test_photos_and_columns_of_other_cohorts_are_not_looked_at(
    citab_of_two: CITabPretrainer, with_vectors: pd.DataFrame
) -> None:
    expected = citab_of_two.transform(with_vectors)
    np.testing.assert_array_equal(
        citab_of_two.transform(with_vectors.drop(columns="photo")), expected
    )
    north = with_vectors[with_vectors["clinic"] == "north"]
    own = north[["width", "pressure", "support", "clinic"]]
    np.testing.assert_array_equal(citab_of_two.transform(own), expected[:24])


def test_transform_never_opens_a_photo(stacked: pd.DataFrame, photo_log: Any, make: Any) -> None:
    logged = make.citab(cohort_column="clinic", image_loader=photo_log.loader).fit(stacked)
    assert len(photo_log.names()) == 40
    logged.transform(stacked.assign(photo="/deleted.png"))
    assert len(photo_log.names()) == 40


# --- parameters ----------------------------------------------------------------------------------


def test_history_reports_the_terms_weighted_and_unweighted(
    with_vectors: pd.DataFrame, make: Any
) -> None:
    pretrainer = make.citab(
        cohort_column="clinic", lambda_itc=0.25, lambda_itm=2.0, lambda_mtr=0.5,
        max_epochs=2, batch_size=8, validation_fraction=0.4,
    ).fit(with_vectors)  # fmt: skip
    for epoch in pretrainer.history_:
        for part in ("train", "valid"):
            total = sum(
                weight * epoch[f"{part}_{term}"]
                for term, weight in {"contrastive": 0.25, "matching": 2.0, "masked": 0.5}.items()
            )
            assert epoch[f"{part}_loss"] == pytest.approx(total, rel=1e-4)
        assert epoch["train_matching_weighted"] == pytest.approx(2.0 * epoch["train_matching"])
        assert epoch["gradient_norm"] > 0


@pytest.mark.parametrize(
    ("params", "terms"),
    [
        ({"lambda_itm": 0.0}, {"contrastive"}),
        ({"lambda_itc": 0.0}, {"matching"}),
        ({"lambda_itc": 0.0, "lambda_itm": 0.0, "lambda_mtr": 0.3}, {"masked"}),
        ({"image_column": None}, {"masked"}),
    ],
)
def test_terms_of_weight_zero_are_not_trained(
    params: dict[str, Any], terms: set[str], with_vectors: pd.DataFrame, make: Any
) -> None:
    frame = with_vectors.drop(columns="photo") if "image_column" in params else with_vectors
    history = make.citab(cohort_column="clinic", **params).fit(frame).history_
    found = {t for t in ("contrastive", "matching", "masked") if f"train_{t}" in history[0]}
    assert found == terms
    if "image_column" in params:
        assert history[0]["train_masked_weighted"] == history[0]["train_masked"]


def test_negatives_of_the_whole_batch_train_another_encoder(
    with_vectors: pd.DataFrame, make: Any
) -> None:
    found = [
        make.citab(cohort_column="clinic", negatives=negatives).fit(with_vectors).history_
        for negatives in ("cohort", "batch")
    ]
    assert found[0][0]["train_contrastive"] < found[1][0]["train_contrastive"]


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({"n_heads": 3}, "n_heads must divide dim, got n_heads=3 and dim=8"),
        ({"dim": 0}, "dim == 0"),
        ({"n_experts": 0}, "n_experts == 0"),
        ({"n_layers": 0}, "n_layers == 0"),
        ({"n_fusion_layers": 0}, "n_fusion_layers == 0"),
        ({"expert": "large"}, "expert must be one of"),
        ({"value_form": "power"}, "value_form must be one of"),
        ({"negatives": "all"}, "negatives must be one of"),
        ({"on_new_columns": "ignore"}, "on_new_columns must be one of"),
        ({"lambda_itm": -1.0}, "lambda_itm == -1"),
        ({"lambda_itc": 0, "lambda_itm": 0}, "are all 0: there is nothing to learn from"),
        ({"mask_rate": 1.0}, "mask_rate == 1.0"),
        ({"temperature": 0.0}, "temperature == 0"),
        ({"header_encoder": "ngram"}, "did you mean 'ngrams'"),
        ({"column_descriptions": {"widht": "width"}}, "'widht', which is not a col.*'width'"),
    ],
)
def test_wrong_parameter_is_named_before_any_photo_is_read(
    params: dict[str, Any], message: str, cohorts: Frames, photo_log: Any, make: Any
) -> None:
    with pytest.raises(ValueError, match=message):
        make.citab(image_loader=photo_log.loader, **params).fit(cohorts)
    assert photo_log.names() == []


def test_image_root_that_is_no_path_is_refused(cohorts: Frames, make: Any) -> None:
    for root in (3, {"north": 3}):
        with pytest.raises(TypeError, match="image_root must be None or a path, got 3"):
            make.citab(image_root=root).fit(cohorts)


def test_broken_header_encoder_is_told_before_any_photo_is_read(
    cohorts: Frames, photo_log: Any, make: Any
) -> None:
    pretrainer = make.citab(
        image_loader=photo_log.loader, header_encoder=lambda texts: np.zeros((1, 3))
    )
    with pytest.raises(ValueError, match="header encoder must return"):
        pretrainer.fit(cohorts)
    assert photo_log.names() == []


# --- photos --------------------------------------------------------------------------------------


def pooled_convolution() -> nn.Module:
    return nn.Sequential(nn.Conv2d(3, 3, 3), nn.AdaptiveAvgPool2d(1), nn.Flatten())


def test_image_encoder_may_be_the_users_own(cohorts: Frames, make: Any) -> None:
    pretrainer = make.citab(image_encoder=pooled_convolution).fit(cohorts)
    assert pretrainer.transform_images(cohorts).shape == (40, 3)
    assert "train_matching" in pretrainer.history_[0]


def test_image_encoder_that_is_not_kept_is_gone_with_all_that_sees_photos(
    stacked: pd.DataFrame, make: Any
) -> None:
    params = {"cohort_column": "clinic"}
    whole = make.citab(**params).fit(stacked)
    slim = make.citab(**params, keep_image_encoder=False).fit(stacked)
    np.testing.assert_array_equal(slim.transform(stacked), whole.transform(stacked))
    assert {name.split(".")[0] for name in slim.network_.arrays} == {"cells", "transformer"}
    with pytest.raises(AttributeError, match="keep_image_encoder=False"):
        slim.transform_images(stacked)


def test_rows_without_photo_embed_as_nan_and_train_all_the_same(
    with_vectors: pd.DataFrame, make: Any
) -> None:
    some = with_vectors.copy()
    some["photo"] = [None if row % 3 == 0 else v for row, v in enumerate(some["photo"])]
    pretrainer = make.citab(cohort_column="clinic", lambda_mtr=0.5).fit(some)
    found = pretrainer.transform_images(some)
    assert np.isnan(found[::3]).all() and np.isfinite(found[1::3]).all()
    few = with_vectors.copy()
    few["photo"] = [v if row in (3, 4) else None for row, v in enumerate(few["photo"])]
    rare = make.citab(cohort_column="clinic", batch_size=8).fit(few)
    assert np.isfinite(rare.transform(few)).all()


def test_photos_come_beside_a_frame_as_image_paths(stacked: pd.DataFrame, make: Any) -> None:
    plain = stacked.drop(columns="photo")
    by_paths = make.citab(image_column=None, cohort_column="clinic")
    by_paths.fit(plain, image_paths=list(stacked["photo"]))
    by_column = make.citab(cohort_column="clinic").fit(stacked)
    np.testing.assert_array_equal(by_paths.transform(plain), by_column.transform(plain))


def test_groups_never_stand_against_each_other(
    with_vectors: pd.DataFrame, make: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[Any] = []
    draw = citab.draw_hard_negatives
    monkeypatch.setattr(
        citab,
        "draw_hard_negatives",
        lambda similarity, excluded, generator: (
            seen.append(excluded) or draw(similarity, excluded, generator)
        ),
    )
    patients = with_vectors.assign(patient="p1")
    pretrainer = make.citab(
        cohort_column="clinic", group_column="patient", validation_fraction=None
    )
    pretrainer.fit(patients)
    assert all(excluded.all() for excluded in seen)
    pretrainer.set_params(negatives="batch").fit(patients)
    # "p1" of one clinic is somebody else in the other.
    assert any(not excluded.all() for excluded in seen)
    assert "patient" not in pretrainer.feature_names_in_
    np.testing.assert_array_equal(
        pretrainer.transform(with_vectors), pretrainer.transform(patients)
    )


# --- unlabeled rows, weights ---------------------------------------------------------------------


def test_unlabeled_rows_equal_further_rows(
    with_vectors: pd.DataFrame, make: Any, weights: Any
) -> None:
    unfitted = make.citab(cohort_column="clinic")
    whole = clone(unfitted).fit(with_vectors)
    # All of one cohort, none of the other.
    by_frame = clone(unfitted).fit(with_vectors[:24], unlabeled=Unlabeled(with_vectors[24:]))
    further = {"south": with_vectors[24:]}
    by_mapping = clone(unfitted).fit(with_vectors[:24], unlabeled=Unlabeled(further))
    for parts in (by_frame, by_mapping):
        np.testing.assert_equal(weights(parts), weights(whole))
        np.testing.assert_array_equal(parts.transform(with_vectors), whole.transform(with_vectors))


def test_sample_weight_follows_its_rows(with_vectors: pd.DataFrame, make: Any) -> None:
    weight = np.linspace(0.0, 3.0, 40)
    pretrainer = make.citab(cohort_column="clinic", lambda_mtr=0.5)
    plain = pretrainer.fit(with_vectors).transform(with_vectors)
    uneven = pretrainer.fit(with_vectors, sample_weight=weight).transform(with_vectors)
    assert not np.array_equal(plain, uneven)
    mapping = dict(iter(with_vectors.groupby("clinic")))
    same = pretrainer.fit(mapping, sample_weight=weight).transform(mapping)
    np.testing.assert_array_equal(same, uneven)
    with pytest.raises(ValueError, match="sample_weight"):
        pretrainer.fit(with_vectors, sample_weight=weight[:24])


# --- going on ------------------------------------------------------------------------------------


def test_warm_start_goes_on_with_the_cohorts_that_it_knows(
    with_vectors: pd.DataFrame, make: Any, weights: Any
) -> None:
    pretrainer = make.citab(cohort_column="clinic", warm_start=True)
    first = weights(pretrainer.fit(with_vectors))
    second = weights(pretrainer.fit(with_vectors.assign(pressure=np.nan)))
    assert any(not np.array_equal(first[name], second[name]) for name in first)
    pretrainer.fit(with_vectors[24:])
    with pytest.raises(ValueError, match=r"cohorts \['west'\] are not known"):
        pretrainer.fit(with_vectors.assign(clinic="west"))
    moved = with_vectors.assign(mass=1.0)
    with pytest.raises(ValueError, match=r"'north' must have.*not known: \['mass'\]"):
        pretrainer.fit(moved)
    with pytest.raises(ValueError, match="set them back"):
        pretrainer.set_params(dim=16).fit(with_vectors)


class PowerCut(Callback):
    def on_epoch_end(self, net: Any, **kwargs: Any) -> None:
        if net.history[-1]["epoch"] == 2:
            raise RuntimeError("power cut")


def test_interrupted_fit_goes_on_from_its_checkpoint(
    with_vectors: pd.DataFrame, tmp_path: Path, make: Any, weights: Any
) -> None:
    params = {"cohort_column": "clinic", "max_epochs": 4, "batch_size": 8}
    params |= {"validation_fraction": 0.4, "lambda_mtr": 0.5}
    whole = make.citab(**params).fit(with_vectors)
    with pytest.raises(RuntimeError, match="power cut"):
        make.citab(callbacks=[PowerCut()], checkpoint_dir=tmp_path, **params).fit(with_vectors)
    described = make.citab(
        checkpoint_dir=tmp_path, column_descriptions={"mass": "body mass"}, **params
    ).fit(with_vectors)
    assert len(list(tmp_path.iterdir())) == 1
    resumed = make.citab(checkpoint_dir=tmp_path, **params).fit(with_vectors)
    np.testing.assert_equal(weights(resumed), weights(whole))
    assert any(
        not np.array_equal(described.network_.arrays[name], array)
        for name, array in whole.network_.arrays.items()
    )
    assert not any(tmp_path.iterdir())


# --- experts -------------------------------------------------------------------------------------


def test_use_of_the_experts_is_told_for_each_block(with_vectors: pd.DataFrame, make: Any) -> None:
    params = {"cohort_column": "clinic", "n_layers": 2, "n_experts": 3}
    pretrainer = make.citab(**params).fit(with_vectors)
    assert len(pretrainer.gate_statistics_) == 2
    for block in pretrainer.gate_statistics_:
        assert set(block) == {"relative_entropy", "share"}
        assert type(block["relative_entropy"]) is float and 0 < block["relative_entropy"] <= 1
        assert len(block["share"]) == 3 and sum(block["share"]) == pytest.approx(1.0)
        assert all(type(share) is float for share in block["share"])
    again = make.citab(**params).fit(with_vectors)
    assert again.gate_statistics_ == pretrainer.gate_statistics_
