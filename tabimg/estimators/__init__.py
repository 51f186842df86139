"""scikit-learn's view of the package: parameters, validation, fit, transform and predict."""
