"""Many hosts that are one tower: what they share through Redis. Without `REDIS_URL` nothing of it is imported."""
