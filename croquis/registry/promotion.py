"""Which version is champion: promotion and rollback that no kill leaves half done.

A file lock lets one process at a time change a store on disk. Between workspaces of a tracking server, which has no lock, a
change is optimistic: it looks at the champion right before it sets it, reads it back, and says who won.

What is about to happen is written down first, as a tag of the registered model; then `previous` is set, then one alias call
flips `champion`, and the note is removed. After a kill, the next command completes the noted change. Readers see the old
champion or the new one, never none.
"""

from __future__ import annotations

import json
import logging
from dataclasses import dataclass

from croquis.registry.registry import CHALLENGER, CHAMPION, PREVIOUS, RegisteredVersion, Registry, RegistryError

logger = logging.getLogger(__name__)

NOTE_TAG = "croquis.transition"


class NoteError(ValueError):
    """A note of a change that cannot be carried out."""


class ChampionChangedError(RegistryError):
    """The champion is another one than a change was planned or made for: another process was faster."""


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
        ChampionChangedError: when the champion is another one than in the `planned` change, or another process set it.
        RegistryError: as `plan_promotion`.
    """
    with registry.lock():
        repair(registry)
        return _apply(registry, plan_promotion(registry, number), planned)


def rollback(registry: Registry, planned: AliasChange | None = None) -> AliasChange:
    """Exchanges `champion` and `previous`; a second rollback undoes the first. Raises like `promote`."""
    with registry.lock():
        repair(registry)
        return _apply(registry, plan_rollback(registry), planned)


def challenge(registry: Registry, number: int) -> None:
    """Marks a version as the next to promote."""
    with registry.lock():
        registry.set_alias(CHALLENGER, number)


def first_champion(registry: Registry, number: int) -> bool:
    """Makes a version champion only if there is none; True if it is champion now, also by a change that a kill cut short."""
    with registry.lock():
        repair(registry)
        champion = registry.holder(CHAMPION)
        if champion is not None:
            return champion.number == number
        try:
            _apply(registry, plan_promotion(registry, number))
        except ChampionChangedError:
            return False
        return True


def delete(registry: Registry, number: int) -> None:
    """Deletes a version, unless it is champion or previous: MLflow would silently drop the alias with it.

    Raises:
        RegistryError: naming the alias that holds it.
    """
    with registry.lock():
        repair(registry)
        names = [alias for alias in (CHAMPION, PREVIOUS) if registry.aliases().get(alias) == number]
        if names:
            raise RegistryError(
                f"version {number} of {registry.model} is {' and '.join(names)}; promote another one first"
            )
        registry.version(number)
        registry.store.client.delete_model_version(registry.model, str(number))


def repair(registry: Registry) -> bool:
    """Completes a change that a kill interrupted; True if there was one.

    A note that cannot be carried out, as it is damaged or names a version that is gone, is removed with a warning: the
    champion is the old one or the new one in any case.
    """
    note = registry.model_tag(NOTE_TAG) if registry.exists() else None
    if note is None:
        return False
    try:
        _carry_out(registry, note)
    except NoteError as error:
        registry.set_model_tag(NOTE_TAG, None)
        logger.warning(
            "the note of a change of champion of %s is removed, as it cannot be carried out (%s): "
            "`croquis registry status` shows who is champion, `croquis registry promote --version N` makes another one",
            registry.model,
            error,
        )
    return True


def _apply(registry: Registry, change: AliasChange, planned: AliasChange | None = None) -> AliasChange:
    before = change.previous
    if planned is not None and _number(before) != _number(planned.previous):
        raise _changed(registry, before, planned.previous)
    note = {"champion": change.champion.number, "previous": _number(before)}
    text = json.dumps(note, sort_keys=True)
    registry.set_model_tag(NOTE_TAG, text)
    _carry_out(registry, text)
    found = registry.holder(CHAMPION)
    if _number(found) != change.champion.number:
        raise _changed(registry, found, before)
    return change


def _number(version: RegisteredVersion | None) -> int | None:
    return version.number if version else None


def _changed(
    registry: Registry, found: RegisteredVersion | None, before: RegisteredVersion | None
) -> ChampionChangedError:
    return ChampionChangedError(
        f"the champion of {registry.model} has become {found or 'none'} meanwhile, it was {before or 'none'}: "
        "look again (croquis registry status)"
    )


def _carry_out(registry: Registry, text: str) -> None:
    """Carries out a noted change, unless the champion is none of its two any more: then a later change has replaced it."""
    champion, previous = _noted(registry, text)
    if registry.aliases().get(CHAMPION) in (champion, previous):
        if previous is not None:
            registry.set_alias(PREVIOUS, previous)
        registry.set_alias(CHAMPION, champion)
        if registry.aliases().get(CHALLENGER) == champion:
            registry.drop_alias(CHALLENGER)
    if registry.model_tag(NOTE_TAG) == text:  # not that of a process that began meanwhile
        registry.set_model_tag(NOTE_TAG, None)


def _noted(registry: Registry, text: str) -> tuple[int, int | None]:
    """The new champion and the one before, by a note.

    Raises:
        NoteError: when it is damaged, or names a version that is gone.
    """
    try:
        note = json.loads(text)
        champion, previous = note["champion"], note["previous"]
    except (ValueError, TypeError, KeyError, RecursionError) as error:
        raise NoteError(f"it is damaged: {text!r:.80}") from error
    numbers = [champion] if previous is None else [champion, previous]
    if not all(type(number) is int for number in numbers):
        raise NoteError(f"it is damaged: {text!r:.80}")
    gone = set(numbers) - {version.number for version in registry.versions()}
    if gone:
        raise NoteError(f"version {', '.join(map(str, sorted(gone)))} is gone")
    return champion, previous
