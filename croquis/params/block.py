"""The base of every block of params.yaml."""

from pydantic import BaseModel, ConfigDict


class Block(BaseModel):
    """Frozen and strict: no unknown keys, no silent conversions (an int is accepted where a float is asked for)."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, protected_namespaces=())
