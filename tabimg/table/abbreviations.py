"""Abbreviations of column headers and what they stand for."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType

from tabimg.table.headers import normalise_header

# "h b a 1 c": normalisation parts an abbreviation into no more words than this.
_LONGEST_RUN = 5

# Category texts are read with the same table. Left out on purpose: what is also a word or a likely
# value of a cell ("no", "map", "los", "mar", "trans", "m", "tx"), what has several common meanings
# ("alt", "cond", "med", "pt", "tg"), and units.
ABBREVIATIONS: Mapping[str, str] = MappingProxyType(
    {
        # any table
        "accel": "acceleration",
        "acct": "account",
        "addr": "address",
        "amt": "amount",
        "approx": "approximate",
        "avg": "average",
        "bal": "balance",
        "calc": "calculated",
        "cnt": "count",
        "coef": "coefficient",
        "curr": "current",
        "cust": "customer",
        "dept": "department",
        "desc": "description",
        "diff": "difference",
        "dob": "date of birth",
        "dur": "duration",
        "edu": "education",
        "educ": "education",
        "emp": "employment",
        "eth": "ethnicity",
        "ethn": "ethnicity",
        "freq": "frequency",
        "gend": "gender",
        "grp": "group",
        "hh": "household",
        "hrs": "hours",
        "id": "identifier",
        "idx": "index",
        "lang": "language",
        "lvl": "level",
        "loc": "location",
        "max": "maximum",
        "mfr": "manufacturer",
        "mgr": "manager",
        "min": "minimum",
        "mos": "months",
        "nbr": "number",
        "nr": "number",
        "num": "number",
        "occ": "occupation",
        "occup": "occupation",
        "org": "organisation",
        "orig": "original",
        "pct": "percent",
        "perc": "percent",
        "prev": "previous",
        "prob": "probability",
        "qty": "quantity",
        "ref": "reference",
        "sd": "standard deviation",
        "seq": "sequence",
        "sq": "square",
        "std": "standard deviation",
        "tel": "telephone",
        "tot": "total",
        "val": "value",
        "var": "variance",
        "wk": "week",
        "wks": "weeks",
        "yr": "year",
        "yrs": "years",
        # medicine
        "abd": "abdominal",
        "adm": "admission",
        "afib": "atrial fibrillation",
        "alb": "albumin",
        "alc": "alcohol",
        "ast": "aspartate aminotransferase",
        "bili": "bilirubin",
        "bmd": "bone mineral density",
        "bmi": "body mass index",
        "bnp": "brain natriuretic peptide",
        "bp": "blood pressure",
        "bsa": "body surface area",
        "bun": "blood urea nitrogen",
        "cad": "coronary artery disease",
        "chd": "coronary heart disease",
        "chf": "congestive heart failure",
        "chol": "cholesterol",
        "circ": "circumference",
        "ckd": "chronic kidney disease",
        "copd": "chronic obstructive pulmonary disease",
        "creat": "creatinine",
        "crp": "c reactive protein",
        "csf": "cerebrospinal fluid",
        "cvd": "cardiovascular disease",
        "dbp": "diastolic blood pressure",
        "diabp": "diastolic blood pressure",
        "diag": "diagnosis",
        "disch": "discharge",
        "dx": "diagnosis",
        "ecg": "electrocardiogram",
        "eeg": "electroencephalogram",
        "ef": "ejection fraction",
        "egfr": "estimated glomerular filtration rate",
        "ekg": "electrocardiogram",
        "esr": "erythrocyte sedimentation rate",
        "fbg": "fasting blood glucose",
        "fev1": "forced expiratory volume 1",
        "fhx": "family history",
        "fvc": "forced vital capacity",
        "gcs": "glasgow coma scale",
        "gfr": "glomerular filtration rate",
        "glu": "glucose",
        "gluc": "glucose",
        "hb": "haemoglobin",
        "hba1c": "glycated haemoglobin",
        "hct": "haematocrit",
        "hdl": "high density lipoprotein",
        "hgb": "haemoglobin",
        "hosp": "hospital",
        "hr": "heart rate",
        "ht": "height",
        "htn": "hypertension",
        "hx": "history",
        "icu": "intensive care unit",
        "iop": "intraocular pressure",
        "ldl": "low density lipoprotein",
        "lvef": "left ventricular ejection fraction",
        "meds": "medications",
        "mmse": "mini mental state examination",
        "mri": "magnetic resonance imaging",
        "neut": "neutrophils",
        "plt": "platelets",
        "psa": "prostate specific antigen",
        "rbc": "red blood cells",
        "resp": "respiratory",
        "rr": "respiratory rate",
        "sbp": "systolic blood pressure",
        "spo2": "oxygen saturation",
        "sx": "symptoms",
        "sysbp": "systolic blood pressure",
        "t1d": "type 1 diabetes",
        "t2d": "type 2 diabetes",
        "temp": "temperature",
        "trig": "triglycerides",
        "trop": "troponin",
        "tsh": "thyroid stimulating hormone",
        "wbc": "white blood cells",
        "whr": "waist hip ratio",
        "wt": "weight",
        # houses and places
        "apt": "apartment",
        "bdrm": "bedrooms",
        "bdrms": "bedrooms",
        "bldg": "building",
        "blt": "built",
        "bsmt": "basement",
        "constr": "construction",
        "ctry": "country",
        "elev": "elevation",
        "ext": "exterior",
        "flr": "floor",
        "ft": "feet",
        "hoa": "homeowners association",
        "lat": "latitude",
        "lng": "longitude",
        "lon": "longitude",
        "nbhd": "neighbourhood",
        "neigh": "neighbourhood",
        "postcode": "postal code",
        "prop": "property",
        "qual": "quality",
        "reno": "renovation",
        "sqft": "square feet",
        "sqm": "square metres",
        "zip": "postal code",
        "zipcode": "postal code",
        # cars
        "awd": "all wheel drive",
        "bhp": "horsepower",
        "cyl": "cylinders",
        "disp": "displacement",
        "eng": "engine",
        "fwd": "front wheel drive",
        "hp": "horsepower",
        "manuf": "manufacturer",
        "mpg": "miles per gallon",
        "msrp": "manufacturer suggested retail price",
        "odo": "odometer",
        "rpm": "revolutions per minute",
        "rwd": "rear wheel drive",
        "veh": "vehicle",
        "vin": "vehicle identification number",
        # materials
        "conc": "concentration",
        "dens": "density",
        "diam": "diameter",
        "elong": "elongation",
        "len": "length",
        "mw": "molecular weight",
        "ph": "ph acidity",
        "poros": "porosity",
        "pres": "pressure",
        "thk": "thickness",
        "uts": "ultimate tensile strength",
        "vel": "velocity",
        "visc": "viscosity",
        "vol": "volume",
        "ys": "yield strength",
    }
)


class AbbreviationTable:
    """Abbreviations, ready to be expanded in normalised texts.

    Parameters
    ----------
    meanings : mapping of str to str
        Abbreviation to what it stands for, both in any spelling. Of two spellings of one
        abbreviation ("hr", "HR") the later counts.

    Raises
    ------
    TypeError
        A key or a value is no string.
    ValueError
        A key or a value holds neither letter nor digit.
    """

    def __init__(self, meanings: Mapping[str, str]) -> None:
        self._words: dict[str, list[str]] = {}
        for short, meaning in meanings.items():
            key, words = _plain_words("abbreviation", short), _plain_words(short, meaning)
            self._words["".join(key)] = words

    def expand(self, text: str) -> str:
        """Replace every abbreviation in a text by what it stands for.

        Words are matched whole, never parts of them. Normalisation may have parted an abbreviation
        ("HbA1c" is "hb a 1 c", "B.P." is "b p"), so a run of up to five words is matched too, the
        longest first. What was put in is not expanded again.

        Parameters
        ----------
        text : str
            As `normalise_header` writes it.

        Returns
        -------
        str
        """
        words = text.split()
        result: list[str] = []
        start = 0
        while start < len(words):
            stop, found = self._longest_match(words, start)
            result += found
            start = stop
        return " ".join(result)

    def _longest_match(self, words: Sequence[str], start: int) -> tuple[int, Sequence[str]]:
        """Where the match ends, and what takes its place; a word that matches nothing stays."""
        for stop in range(min(start + _LONGEST_RUN, len(words)), start, -1):
            found = self._words.get("".join(words[start:stop]))
            if found is not None:
                return stop, found
        return start + 1, words[start : start + 1]


def _plain_words(of: str, text: object) -> list[str]:
    if not isinstance(text, str):
        raise TypeError(f"abbreviations must map str to str; {of!r} has {text!r}.")
    words = normalise_header(text).split()
    if not words:
        raise ValueError(f"abbreviations: {of!r} has {text!r}, which holds no letter or digit.")
    return words
