"""Registry Credentials: keeps the keys to private registries, and hands each agent the one that its image needs."""

__version__ = "0.1.0"
