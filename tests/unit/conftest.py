"""What the unit tests share."""

from hypothesis import HealthCheck, settings

# A machine that is busy with other things is no bug of the code.
settings.register_profile("tower", settings(deadline=None, suppress_health_check=[HealthCheck.too_slow]))
settings.load_profile("tower")
