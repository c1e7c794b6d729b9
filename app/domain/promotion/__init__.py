"""Promotions: moving an alias or a stage to another version of a registered model, with a second pair of eyes."""
