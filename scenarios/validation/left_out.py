"""Why a measured row is not predicted."""


class LeftOutError(Exception):
    """What a row does not say, or what of it has no form here."""
