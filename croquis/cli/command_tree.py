"""All commands: name, module and one line. None is imported for `croquis --help`."""

from __future__ import annotations

from typing import Any

import click

from croquis.cli.command_line import LazyGroup, Subcommand, store_options


def _at(place: str, says: str, extra: str = "pipeline") -> Subcommand:
    return Subcommand(f"croquis.cli.{place}", says, extra)


REGISTRY = {
    "status": _at("commands.registry_commands:status_command", "champion, challenger, and what the gate would say"),
    "promote": _at("commands.registry_commands:promote_command", "make the challenger, or a version, the champion"),
    "rollback": _at("commands.registry_commands:rollback_command", "exchange champion and previous champion"),
    "delete": _at("commands.registry_commands:delete_command", "delete a version that is neither of the two"),
    "rebuild": _at("commands.version_commands:rebuild_command", "make a version's bundle again and compare its bytes"),
    "lineage": _at("commands.version_commands:lineage_command", "where a version comes from, or what one led to"),
    "card": _at("commands.version_commands:card_command", "print the model card of a version"),
}  # fmt: skip

STORE = {
    "list": _at("commands.store_versions:list_command", "name, bundle and images of every version", "scale"),
    "create": _at("commands.store_versions:create_command", "a new, empty version; prints its name", "scale"),
    "fill": _at("commands.store_versions:fill_command", "a new version with a bundle's own gallery", "scale"),
    "publish": _at("commands.store_versions:publish_command", "make a version the current one", "scale"),
    "rollback": _at("commands.store_versions:rollback_command", "go back to the version before it", "scale"),
    "save": _at("commands.store_versions:save_command", "write a version as Parquet", "scale"),
    "load": _at("commands.store_versions:load_command", "a new version of what `save` wrote", "scale"),
    "drop": _at("commands.store_versions:drop_command", "delete a version", "scale"),
    "count-anew": _at("commands.store_versions:count_anew_command", "take out a product of the largest version", "scale"),
}  # fmt: skip

EVENTS = {
    "consume": _at("commands.event_commands:consume_command", "bring product events into a store", "scale"),
    "feed": _at("commands.event_commands:feed_command", "send a catalogue as product events", "scale"),
}

PLATFORM = {
    "up": _at("commands.platform:up_command", "start broker, store, MLflow and search server; Ctrl-C ends them")
}

registry = LazyGroup("registry", REGISTRY, help="Versions of the registered model: look, promote, roll back, rebuild.")
store = LazyGroup(
    "store",
    STORE,
    params=store_options(),
    help="Versions of a catalogue in a vector store, and the change from one to another.",
)
platform = LazyGroup("platform", PLATFORM, help="The whole platform on this machine, without containers, for trials.")
events = LazyGroup(
    "events", EVENTS, help="Product events, from a catalogue to a stream and from the stream into a store."
)

COMMANDS = {
    "init": _at("own.init:init_command", "write a project for a folder of photos or a table of products"),
    "index": _at("own.photo_index:index_command", "make a search of photos, without labels and training"),
    "search": _at("own.search_photos:search_command", "search a bundle by a photo", ""),
    "add": _at("own.photo_index:add_command", "add photos to a bundle"),
    "remove": _at("own.photo_index:remove_command", "take products or photos out of a bundle"),
    "repro": _at("commands.repro:repro_command", "run the pipeline, independent stages in parallel"),
    "params": _at("inspection.show_params:params_command", "print the params: type, range, value, what each does"),
    "preset": _at("commands.preset:preset_command", "put the settings of a real data set into params.yaml"),
    "list": _at("inspection.list_kinds:list_command", "list methods, sources, indexes, re-rankers, metrics, ..."),
    "tune": _at("commands.tune:tune_command", "search params with Optuna"),
    "registry": _at("command_tree:registry", "versions of the model: status, promote, rollback, ...", ""),
    "serve": _at("commands.serve:serve_command", "serve the champion, or a bundle, over HTTP", "serving"),
    "embed": _at("commands.embed:embed_command", "embed the images of Parquet shards in bulk"),
    "store": _at("command_tree:store", "versions of a catalogue in a vector store", ""),
    "events": _at("command_tree:events", "product events from and to a stream", ""),
    "platform": _at("command_tree:platform", "the whole platform on this machine, for trials", ""),
    "sync": _at("commands.sync:sync_command", "bring MLflow up to what DVC knows"),
    "ui": _at("commands.ui:ui_command", "open the MLflow UI on this project's runs"),
    "plots": _at("commands.plots:plots_command", "write one page of results: charts, galleries, an error browser"),
    "sheet": _at("commands.plots:sheet_command", "draw a contact sheet of the rendered catalogue"),
    "doctor": _at("inspection.doctor:doctor_command", "what is installed, which engines answer, what is wrong", ""),
    "completion": _at("completion:completion_command", "print the script that completes commands", ""),
}  # fmt: skip


def _show_version(context: click.Context, parameter: click.Parameter, value: bool) -> None:  # noqa: ARG001
    if value:
        from croquis.cli.completion import version

        click.echo(f"croquis {version()}")
        context.exit()


_VERSION: Any = click.Option(
    ["--version"], is_flag=True, is_eager=True, expose_value=False, callback=_show_version, help="print the version"
)

croquis = LazyGroup(
    "croquis",
    COMMANDS,
    params=[_VERSION],
    help="MLOps workflow for fashion image retrieval. The stages of the pipeline are `python -m stages.NAME`.",
)
