"""Writes examples/out_of_fold_breast_cancer.json: what a logistic regression says of patients it was not trained on.

The data are scikit-learn's copy of Breast Cancer Wisconsin (Diagnostic), doi:10.24432/C5DW2B: 569 tumours, 1 = benign.
Run with the development requirements: python openapi/breast_cancer.py
"""

import json
from pathlib import Path

from sklearn.datasets import load_breast_cancer
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import cross_val_predict
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

inputs, targets = load_breast_cancer(return_X_y=True)
model = make_pipeline(StandardScaler(), LogisticRegression())
predictions = cross_val_predict(model, inputs, targets, cv=5, method="predict_proba")[:, 1]
request = {
    "loss": "log_loss",
    "predictions": predictions.tolist(),
    "targets": targets.tolist(),
    "outputs": ["value"],
}
path = Path(__file__).with_name("examples") / "out_of_fold_breast_cancer.json"
path.write_text(json.dumps(request) + "\n")
