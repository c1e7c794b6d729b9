"""Several hosts that serve as one service, and share state through Redis. Imported only with `REDIS_URL`."""
