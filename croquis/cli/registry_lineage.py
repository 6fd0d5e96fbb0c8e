"""Command `lineage`: where a version comes from, or which versions came from something.

python -m croquis.cli.registry_lineage fashion-retriever@champion  commit, dvc.lock, data, params, stage runs, environment
python -m croquis.cli.registry_lineage 00e6450                     versions of a commit, a run id, a stage key or any hash
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from croquis.params import ParamsError, load_params
from croquis.registry.lineage import Lineage, made_from
from croquis.registry.registry import RegisteredVersion, Registry, RegistryError
from croquis.tracking.environment import project_root, quiet
from croquis.tracking.tracking_store import TrackingError, open_store


def main(arguments: Sequence[str] | None = None, root: Path | None = None) -> int:
    """Returns 0 when found, 1 when not; the reason goes to stderr."""
    quiet()
    parser = argparse.ArgumentParser(prog="python -m croquis.cli.registry_lineage", description=__doc__.split("\n")[0])
    parser.add_argument("name", help="MODEL@ALIAS, MODEL/NUMBER, or the beginning of a commit, run id, key or hash")
    name = parser.parse_args(arguments).name
    root = (root or project_root()).resolve()
    try:
        registry = Registry(open_store(root), load_params(root / "params.yaml").register_.model_name)
        print(describe(registry.named(name)) if "@" in name or "/" in name else _made_from(registry, name))
    except (RegistryError, TrackingError, ParamsError, ValueError) as error:
        print(f"refused: {error}", file=sys.stderr)
        return 1
    return 0


def describe(version: RegisteredVersion) -> str:
    lineage = Lineage.of(version.tags)
    dirty = "  with files that differed from it" if lineage.dirty else ""
    lines = [
        str(version),
        f"  bundle       {version.bundle_hash}",
        f"  commit       {lineage.commit or 'unknown'}{dirty}",
        f"  dvc.lock     {lineage.lock_hash or 'unknown'}",
        f"  data         {lineage.data_hash or 'unknown'}",
        f"  environment  {lineage.environment or 'unknown'}",
        f"  pipeline run {version.run_id or 'unknown'} (params.yaml, dvc.lock, pipeline.txt, environment.json)",
        *(f"  {name:<28} run {lineage.stage_runs.get(name, 'unknown'):<32} key {key[:12]}"
          for name, key in lineage.stage_keys.items()),
    ]  # fmt: skip
    return "\n".join([*lines, *([f"  lacks {', '.join(lineage.missing)}"] if lineage.missing else [])])


def _made_from(registry: Registry, name: str) -> str:
    found = made_from(registry.versions(), name)
    if not found:
        raise RegistryError(f"no version of {registry.model} came from {name!r}")
    return "\n".join(str(version) for version in found)


if __name__ == "__main__":
    sys.exit(main())
