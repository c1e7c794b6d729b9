"""The demo registry: real models, trained and scored day by day on the data that scikit-learn ships."""
