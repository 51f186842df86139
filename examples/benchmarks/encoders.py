"""
Does the encoder matter, and what a masked cell becomes?
========================================================

Compares the table encoder with one without attention and with a perceptron of as many parameters,
and the replacement of masked cells by draws from the marginal with the mean, zeros and a learned
token. Writes ``docs/benchmarks/encoders.md``::

    TABIMG_DATA=... python examples/benchmarks/encoders.py --jobs 2

It runs on the development sets, with folds and rows of ``accuracy.py``.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import partial
from typing import Any

from headline import Outcome
from pages import table
from perceptron import perceptron
from runs import begin, make_parser, read_settings
from sets import SETS, Loaded
from sklearn.base import clone
from variants import Variants

from tabimg import MultiModalPretrainer
from tabimg.estimators.mtcmtm_pretrainer import table_architecture
from tabimg.evaluation import ablation_study
from tabimg.table import TableCodec

ENCODERS = {
    "resnet1d_cbam": "1D-ResNet-CBAM",
    "resnet1d": "without attention",
    "mlp": "perceptron of equal size",
}
CORRUPTIONS = {
    "marginal": "draw from the marginal",
    "mean": "mean",
    "zero": "zero",
    "token": "learned token",
}
# What is fitted on an encoder: the default blend, or one fine-tuned network alone.
FITS = {"blend": "auto", "network": "full"}
DEFAULT = ("resnet1d_cbam", "marginal")
VARIANTS = {
    **{(encoder, "marginal"): label for encoder, label in ENCODERS.items()},
    **{("resnet1d_cbam", name): label for name, label in CORRUPTIONS.items() if name != "marginal"},
}
IMAGE_SIZE = 32

INTRODUCTION = """\
# Encoder and corruption

Do the table's encoder and the replacement of masked cells matter? Written by

```console
TABIMG_DATA=... python examples/benchmarks/encoders.py
```

- The default is the **1D-ResNet-CBAM** with masked cells replaced by a **draw from the marginal**.
  Every variant changes one of the two, is pre-trained separately, and is otherwise the same.
- The **perceptron** is the residual MLP of the library, its width chosen so that it has as many
  parameters as the 1D-ResNet-CBAM on that table. It is the only one without dropout inside.
- **mean** replaces a masked number by its column's mean and a category by the most frequent one;
  **zero** by the 0 of the standardised column and the unknown category, which the network sees as
  zeros. In standardised numbers both are the same, so that they differ in categories only. The
  **learned token** is that of missing cells.
- Each encoder is judged by the default *blend* (`finetune="auto"`), in which it is one voice among
  several, and by one *network alone* (`finetune="full"`), which shows more of it.
- Development sets, photos read at 32 pixels, a quarter of the work of the default 64; the first 2
  of 5 folds, 10 % and all of the labels, drawn once. Gains are in points of accuracy, and in
  percent of the MSE in regression; positive is better than the default.
"""


def method(variant: tuple[str, str], fit: str) -> str:
    """Name a method."""
    encoder, corruption = variant
    return f"{encoder if corruption == 'marginal' else corruption}, {fit}"


def _labels(fit: str) -> dict[str, str]:
    labels = {method(variant, fit): label for variant, label in VARIANTS.items()}
    return labels | {method(DEFAULT, fit): "default"}


PAGES = {
    fit: Variants("encoders", _labels(fit), method(DEFAULT, fit), tuple(SETS.values())[:4])
    for fit in FITS
}
BOTH = Variants(
    "encoders",
    {
        name: f"{label}, {fit}" if fit == "blend" else f"{label}, network alone"
        for fit in FITS
        for name, label in _labels(fit).items()
    },
    method(DEFAULT, "blend"),
    PAGES["blend"].sets,
)


def sizes(rows: Loaded) -> dict[str, int]:
    """Count the parameters of the encoders on a table, and find the width of the perceptron."""
    image = rows.columns["image_column"]
    group = [rows.columns["group_column"]] if "group_column" in rows.columns else []
    codec = TableCodec().fit(rows.table.drop(columns=[*image, *group]))

    def count(encoder: Any) -> int:
        net = table_architecture(codec, encoder, 256).build().tabular_encoder
        return sum(parameter.numel() for parameter in net.parameters())

    wanted = count("resnet1d_cbam")
    width = min(range(16, 513, 4), key=lambda w: abs(count(partial(perceptron, w)) - wanted))
    return {
        "resnet1d_cbam": wanted,
        "resnet1d": count("resnet1d"),
        "mlp": count(partial(perceptron, width)),
        "width": width,
    }


def methods(prototypes: Mapping[str, Any], width: int) -> dict[str, Any]:
    """Make all variants, each with both fits; those of one variant share their pre-training."""
    made = {}
    for variant in VARIANTS:
        encoder, corruption = variant
        pretrainer: MultiModalPretrainer = clone(prototypes["pretrainer"])
        factory = partial(perceptron, width) if encoder == "mlp" else encoder
        pretrainer.set_params(tabular_encoder=factory, corruption=corruption)
        for fit, finetune in FITS.items():
            estimator = clone(prototypes["estimator"]).set_params(finetune=finetune)
            made[method(variant, fit)] = (pretrainer, estimator)
    return made


def findings(bench: Any, outcomes: list[Outcome]) -> Iterator[str]:
    """Average the gains over the sets, for each way to fit; then the sizes."""
    yield f"## Average over the sets ({len(outcomes)})\n"
    for fit, page in PAGES.items():
        which = "The default blend" if fit == "blend" else "One network alone"
        yield f"{which}:\n"
        yield page.gains(outcomes, [name for name in page.labels if name != page.reference])
    notes = {o.data.name: read_settings(bench, f"encoders-{o.data.name}") for o in outcomes}
    counts = {name: note["settings"]["n_parameters"] for name, note in notes.items() if note}
    yield "Parameters of the encoder:\n"
    yield table(
        ["encoder", *counts],
        [[label, *(f"{n[name]:,}" for n in counts.values())] for name, label in ENCODERS.items()],
    )


def main() -> None:
    names = [data.name for data in PAGES["blend"].sets]
    parser = make_parser("Does the encoder matter, and what a masked cell becomes?", names)
    bench = begin(parser.parse_args())
    for data, rows in bench.at_hand():
        counted = sizes(rows)
        prototypes = bench.prototypes(data, image_size=IMAGE_SIZE)
        BOTH.run(
            bench,
            data,
            ablation_study,
            X=rows.table,
            y=rows.target,
            **rows.columns,
            **prototypes,
            methods=(),
            baselines=(),
            extra_methods=methods(prototypes, counted["width"]),
            notes={"n_parameters": counted},
        )
    BOTH.write(bench, INTRODUCTION, findings(bench, BOTH.outcomes(bench)))


if __name__ == "__main__":
    main()
