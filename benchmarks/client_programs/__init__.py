"""Programs that run a model as apps do, each where its own runtime is installed."""
