"""Column headers as they stand in tables of four domains, grouped by what they mean.

Every group mixes what real tables mix: abbreviations, camelCase and snake_case, units, British and
American spelling, other words for the same thing. Neighbouring groups are meant to be easy to
confuse, as systolic and diastolic are. The list was written before `tabimg.headers.ABBREVIATIONS`,
which was not extended by what it showed to be missing.
"""

from __future__ import annotations

# The key only names the group; it is not one of the headers.
SYNONYMS: dict[str, tuple[str, ...]] = {
    # medicine
    "systolic pressure": ("sbp", "systolic_blood_pressure", "SystolicBP"),
    "diastolic pressure": ("dbp", "diastolic_blood_pressure", "DiastolicBP (mmHg)"),
    "body mass index": ("bmi", "BodyMassIndex", "body_mass_index_kg_m2"),
    "heart rate": ("hr", "HeartRate", "resting_heart_rate_bpm", "pulse"),
    "sex": ("sex", "gender", "PatientSex"),
    "age": ("age_years", "AgeAtVisit", "age_approx"),
    "body weight": ("weight_kg", "BodyWeightLb", "wt"),
    "body height": ("height_cm", "HeightInches", "ht"),
    "haemoglobin": ("haemoglobin", "Hemoglobin_g_dl", "hgb"),
    "glucose": ("fasting_glucose", "GlucoseMgDl", "gluc"),
    "cholesterol": ("total_cholesterol", "CholesterolTotal", "chol_mmol_l"),
    "diagnosis": ("diagnosis", "dx", "DiagnosisCode"),
    "education": ("educ", "years_of_education", "EducationLevel"),
    "anatomical site": ("anatom_site", "localization", "lesion_location", "BodySite"),
    # houses
    "price": ("price_usd", "SalePrice", "listing_price"),
    "living area": ("living_area", "LivingAreaSqFt", "sqft_living", "floor_space_m2"),
    "bedrooms": ("num_bedrooms", "Bedrooms", "bdrms"),
    "bathrooms": ("num_bathrooms", "Bathrooms", "baths"),
    "year built": ("year_built", "yr_blt", "ConstructionYear"),
    "latitude": ("lat", "Latitude", "latitude_deg"),
    "longitude": ("lng", "Longitude", "longitude_deg"),
    "postal code": ("zip_code", "PostalCode", "postcode"),
    # cars
    "fuel economy": ("mpg", "miles_per_gallon", "FuelEconomyMPG"),
    "engine power": ("hp", "Horsepower", "engine_power_kw"),
    "displacement": ("displacement", "EngineDisplacementCC", "disp"),
    "mileage": ("mileage", "odometer_km", "MilesDriven"),
    "colour": ("colour", "exterior_color", "PaintColor"),
    "gearbox": ("transmission", "gearbox_type", "TransType"),
    # materials
    "tensile strength": ("tensile_strength_mpa", "UltimateTensileStrength", "uts"),
    "aluminium content": ("aluminium_pct", "AluminumPercent", "aluminum_content"),
    "temperature": ("temp_c", "Temperature", "temperature_kelvin"),
    "thickness": ("thickness_mm", "LayerThickness", "thk"),
}
