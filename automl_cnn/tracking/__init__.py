"""The record in MLflow: what a finished pipeline run was, its model's versions, which of them is champion, and why."""
