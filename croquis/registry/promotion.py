"""Which version is champion: promotion and rollback that no kill and no second process can leave half done.

What is about to happen is written down first, as a tag of the registered model; then `previous` is set, then one alias call
flips `champion`, and the note is removed. Whoever comes next after a kill completes the noted change. Readers see the old
champion or the new one, never none.
"""

from __future__ import annotations

import json
from dataclasses import dataclass

from croquis.registry.registry import CHALLENGER, CHAMPION, PREVIOUS, RegisteredVersion, Registry, RegistryError
from croquis.registry.server_lock import Held

NOTE_TAG = "croquis.transition"


@dataclass(frozen=True)
class AliasChange:
    """A change of champion: `champion` is the new one, `previous` the one it takes over from (None for the first)."""

    champion: RegisteredVersion
    previous: RegisteredVersion | None

    def __str__(self) -> str:
        before = str(self.previous) if self.previous else "no champion"
        return f"champion: {before} -> {self.champion}"


def plan_promotion(registry: Registry, number: int | None = None) -> AliasChange:
    """The change that makes version `number`, by default the challenger, the champion.

    Raises:
        RegistryError: when there is no such version or it is champion already.
    """
    aliases = registry.aliases()
    number = aliases.get(CHALLENGER) if number is None else number
    if number is None:
        raise RegistryError(
            f"{registry.model} has no challenger to promote; `dvc repro` makes one when a new candidate passes, "
            "or name a version with --version"
        )
    candidate, champion = registry.version(number), registry.holder(CHAMPION)
    if champion is not None and champion.number == number:
        raise RegistryError(f"{champion} of {registry.model} is the champion already; nothing to do")
    return AliasChange(candidate, champion)


def plan_rollback(registry: Registry) -> AliasChange:
    """The change that makes the previous champion the champion again.

    Raises:
        RegistryError: when there is none.
    """
    champion, previous = registry.holder(CHAMPION), registry.holder(PREVIOUS)
    if champion is None:
        raise RegistryError(f"{registry.model} has no champion, so there is nothing to roll back; run `dvc repro`")
    if previous is None or previous.number == champion.number:
        raise RegistryError(f"{registry.model} has had no champion before {champion}; there is nothing to roll back to")
    return AliasChange(previous, champion)


def promote(registry: Registry, number: int | None = None, planned: AliasChange | None = None) -> AliasChange:
    """Makes version `number`, by default the challenger, the champion; the old one becomes `previous`.

    Raises:
        RegistryError: also when the champion is another one than in the `planned` change.
    """
    with registry.lock() as held:
        repair(registry, held)
        change = plan_promotion(registry, number)
        if planned is not None and _number(change.previous) != _number(planned.previous):
            raise RegistryError(
                f"the champion of {registry.model} has become {change.previous or 'nobody'} meanwhile, it was "
                f"{planned.previous or 'nobody'}: look again (croquis registry status)"
            )
        _apply(registry, change, held)
    return change


def _number(version: RegisteredVersion | None) -> int | None:
    return version.number if version else None


def rollback(registry: Registry) -> AliasChange:
    """Exchanges `champion` and `previous`; a second rollback undoes the first."""
    with registry.lock() as held:
        repair(registry, held)
        change = plan_rollback(registry)
        _apply(registry, change, held)
    return change


def challenge(registry: Registry, number: int) -> None:
    """Marks a version as the next to promote."""
    with registry.lock() as held:
        held()
        registry.set_alias(CHALLENGER, number)


def first_champion(registry: Registry, number: int) -> bool:
    """Makes a version champion only if there is none; True if it is champion now, also by a change that a kill cut short."""
    with registry.lock() as held:
        repair(registry, held)
        champion = registry.holder(CHAMPION)
        if champion is not None:
            return champion.number == number
        _apply(registry, plan_promotion(registry, number), held)
        return True


def delete(registry: Registry, number: int) -> None:
    """Deletes a version, unless it is champion or previous: MLflow would silently drop the alias with it.

    Raises:
        RegistryError: naming the alias that holds it.
    """
    with registry.lock() as held:
        repair(registry, held)
        names = [alias for alias in (CHAMPION, PREVIOUS) if registry.aliases().get(alias) == number]
        if names:
            raise RegistryError(
                f"version {number} of {registry.model} is {' and '.join(names)}; promote another one first"
            )
        registry.version(number)
        held()
        registry.store.client.delete_model_version(registry.model, str(number))


def repair(registry: Registry, held: Held) -> bool:
    """Completes a change that a kill interrupted; True if there was one. The caller holds the registry's lock, `held`."""
    if not registry.exists():
        return False
    note = registry.store.client.get_registered_model(registry.model).tags.get(NOTE_TAG)
    if not note:
        return False
    _carry_out(registry, json.loads(note), held)
    return True


def _apply(registry: Registry, change: AliasChange, held: Held) -> None:
    note = {"champion": change.champion.number, "previous": change.previous.number if change.previous else None}
    held()
    registry.store.client.set_registered_model_tag(registry.model, NOTE_TAG, json.dumps(note, sort_keys=True))
    _carry_out(registry, note, held)


def _carry_out(registry: Registry, note: dict[str, int | None], held: Held) -> None:
    champion, previous = note["champion"], note["previous"]
    held()
    if previous is not None:
        registry.set_alias(PREVIOUS, previous)
    held()
    if champion is not None:
        registry.set_alias(CHAMPION, champion)
    held()
    if registry.aliases().get(CHALLENGER) == champion:
        registry.drop_alias(CHALLENGER)
    held()
    registry.store.client.delete_registered_model_tag(registry.model, NOTE_TAG)
