"""The clinics of `make_cohorts`: each one's columns, their names, and its camera."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from tabimg.datasets.cohort_concepts import CONCEPTS
from tabimg.datasets.retina_photo import Camera


@dataclass(frozen=True)
class Clinic:
    """One cohort.

    Attributes
    ----------
    share : float
        Its share of all rows; the shares sum to 1.
    missing : float in [0, 1]
        Its missing cells, relative to the clinic with the most.
    camera : Camera
        What its photos look like, whatever they show.
    columns : dict of str to (str, str)
        Header to concept, and the unit or spelling in which it is written.
    """

    share: float
    missing: float
    camera: Camera
    columns: dict[str, tuple[str, str]]

    @property
    def concepts(self) -> dict[str, str]:
        """Concept of each column."""
        return {header: concept for header, (concept, _) in self.columns.items()}

    @property
    def units(self) -> dict[str, str]:
        """Unit or spelling of each column."""
        return {header: unit for header, (_, unit) in self.columns.items()}

    @property
    def positions(self) -> np.ndarray:
        """Positions of the columns' concepts in ``CONCEPTS``, int64 (p,)."""
        order = list(CONCEPTS)
        return np.array([order.index(concept) for concept in self.concepts.values()])

    @property
    def recorded(self) -> np.ndarray:
        """Which concepts have a column, bool (16,)."""
        return np.isin(list(CONCEPTS), list(self.concepts.values()))

    def write(self, patients: np.ndarray) -> pd.DataFrame:
        """Convert level indices of all concepts (n, 16) to the clinic's columns and units."""
        forms = [CONCEPTS[concept].written(unit) for concept, unit in self.columns.values()]
        return pd.DataFrame(
            {
                header: form[patients[:, j]]
                for header, form, j in zip(self.columns, forms, self.positions, strict=True)
            }
        )


CLINICS: dict[str, Clinic] = {
    "harbour": Clinic(
        share=0.34,
        missing=0.3,
        camera=Camera(gains=(1.0, 1.0, 1.0), field=0.94),
        columns={
            "age": ("age", "years"),
            "sex": ("sex", "female"),
            "weight_kg": ("weight", "kg"),
            "height_cm": ("height", "cm"),
            "systolic_blood_pressure": ("systolic", "mmHg"),
            "diastolic_blood_pressure": ("diastolic", "mmHg"),
            "hba1c": ("hba1c", "percent"),
            "glucose": ("glucose", "mmol/l"),
            "diabetes_duration_years": ("duration", "years"),
            "total_cholesterol": ("cholesterol", "mmol/l"),
            "heart_rate": ("heart_rate", "1/min"),
            "smoking": ("smoking", "never"),
            "treatment": ("treatment", "diet"),
            "statin": ("statin", "no"),
        },
    ),
    "meadow": Clinic(
        share=0.27,
        missing=1.0,
        camera=Camera(gains=(0.92, 1.1, 1.15), field=0.98),
        columns={
            "AGE": ("age", "years"),
            "SEX": ("sex", "F"),
            "WT_LB": ("weight", "lb"),
            "HT_IN": ("height", "inch"),
            "SBP": ("systolic", "mmHg"),
            "DBP": ("diastolic", "mmHg"),
            "HBA1C_PCT": ("hba1c", "percent"),
            "DIAB_DURATION": ("duration", "years"),
            "CHOL": ("cholesterol", "mg/dl"),
            "CREAT": ("creatinine", "mg/dl"),
            "HGB": ("haemoglobin", "g/dl"),
            "SMOKING_STATUS": ("smoking", "NEVER"),
            "DIAB_TREATMENT": ("treatment", "DIET"),
        },
    ),
    "northgate": Clinic(
        share=0.2,
        missing=0.5,
        camera=Camera(gains=(1.12, 0.9, 0.8), field=0.88),
        columns={
            "PatientAge": ("age", "years"),
            "Gender": ("sex", "Female"),
            "BodyWeight": ("weight", "kg"),
            "BodyHeight": ("height", "cm"),
            "SystolicBP": ("systolic", "mmHg"),
            "HbA1c": ("hba1c", "mmol/mol"),
            "BloodGlucose": ("glucose", "mmol/l"),
            "DiabetesDuration": ("duration", "years"),
            "SerumCreatinine": ("creatinine", "µmol/l"),
            "HeartRate": ("heart_rate", "1/min"),
            "SmokingStatus": ("smoking", "Never smoked"),
            "DiabetesTreatment": ("treatment", "Diet only"),
        },
    ),
    "lakeside": Clinic(
        share=0.14,
        missing=0.8,
        camera=Camera(gains=(0.85, 0.95, 0.9), field=0.94),
        columns={
            "Age (years)": ("age", "years"),
            "Sex": ("sex", "Woman"),
            "Systolic pressure (mmHg)": ("systolic", "mmHg"),
            "Diastolic pressure (mmHg)": ("diastolic", "mmHg"),
            "Glycated haemoglobin (mmol/mol)": ("hba1c", "mmol/mol"),
            "Fasting glucose (mg/dl)": ("glucose", "mg/dl"),
            "Duration of diabetes (months)": ("duration", "months"),
            "Cholesterol (mmol/l)": ("cholesterol", "mmol/l"),
            "Creatinine (µmol/l)": ("creatinine", "µmol/l"),
            "Haemoglobin (g/l)": ("haemoglobin", "g/l"),
            "Smoker": ("smoking", "No"),
            "Statins": ("statin", "No"),
        },
    ),
    "summit": Clinic(
        share=0.05,
        missing=0.6,
        camera=Camera(gains=(1.05, 1.05, 0.7), field=0.9),
        columns={
            "age": ("age", "years"),
            "gender": ("sex", "F"),
            "weight_lb": ("weight", "lb"),
            "height_in": ("height", "inch"),
            "sys_bp": ("systolic", "mmHg"),
            "hba1c": ("hba1c", "percent"),
            "glucose": ("glucose", "mg/dl"),
            "diabetes_years": ("duration", "years"),
            "chol_total": ("cholesterol", "mg/dl"),
            "creatinine_mg_dl": ("creatinine", "mg/dl"),
            "pulse_rate": ("heart_rate", "1/min"),
            "smoking_status": ("smoking", "never"),
            "diabetes_therapy": ("treatment", "diet"),
            "statin_use": ("statin", "0"),
        },
    ),
}
