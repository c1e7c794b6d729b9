"""The history of the registry: every change of a registered model, of its versions and of its aliases."""
