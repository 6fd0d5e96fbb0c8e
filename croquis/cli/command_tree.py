"""All commands: name, module and one line. None is imported for `croquis --help`."""

from __future__ import annotations

from typing import Any

import click

from croquis.cli.command_line import Entry, LazyGroup, store_options

REGISTRY = {
    "status": Entry("croquis.cli.commands.registry_commands:status_command", "champion, challenger, and what the gate would say"),
    "promote": Entry("croquis.cli.commands.registry_commands:promote_command", "make the challenger, or a version, the champion"),
    "rollback": Entry("croquis.cli.commands.registry_commands:rollback_command", "exchange champion and previous champion"),
    "delete": Entry("croquis.cli.commands.registry_commands:delete_command", "delete a version that is neither of the two"),
    "rebuild": Entry("croquis.cli.commands.version_commands:rebuild_command", "make a version's bundle again and compare its bytes"),
    "lineage": Entry("croquis.cli.commands.version_commands:lineage_command", "where a version comes from, or what one led to"),
    "card": Entry("croquis.cli.commands.version_commands:card_command", "print the model card of a version"),
}  # fmt: skip

STORE = {
    "list": Entry("croquis.cli.commands.store_versions:list_command", "name, bundle and images of every version", "scale"),
    "create": Entry("croquis.cli.commands.store_versions:create_command", "a new, empty version; prints its name", "scale"),
    "fill": Entry("croquis.cli.commands.store_versions:fill_command", "a new version with a bundle's own gallery", "scale"),
    "publish": Entry("croquis.cli.commands.store_versions:publish_command", "make a version the current one", "scale"),
    "rollback": Entry("croquis.cli.commands.store_versions:rollback_command", "go back to the version before it", "scale"),
    "save": Entry("croquis.cli.commands.store_versions:save_command", "write a version as Parquet", "scale"),
    "load": Entry("croquis.cli.commands.store_versions:load_command", "a new version of what `save` wrote", "scale"),
    "drop": Entry("croquis.cli.commands.store_versions:drop_command", "delete a version", "scale"),
}  # fmt: skip

EVENTS = {
    "consume": Entry(
        "croquis.cli.commands.event_commands:consume_command", "bring product events into a store", "scale"
    ),
    "feed": Entry("croquis.cli.commands.event_commands:feed_command", "send a catalogue as product events", "scale"),
}


registry = LazyGroup("registry", REGISTRY, help="Versions of the registered model: look, promote, roll back, rebuild.")
store = LazyGroup(
    "store",
    STORE,
    params=store_options(),
    help="Versions of a catalogue in a vector store, and the change from one to another.",
)
events = LazyGroup(
    "events", EVENTS, help="Product events, from a catalogue to a stream and from the stream into a store."
)

COMMANDS = {
    "repro": Entry("croquis.cli.commands.repro:repro_command", "run the pipeline, some stages at the same time"),
    "params": Entry("croquis.cli.inspection.show_params:params_command", "print the params: type, range, value, what each does"),
    "preset": Entry("croquis.cli.commands.preset:preset_command", "put the settings of a real data set into params.yaml"),
    "list": Entry("croquis.cli.inspection.list_kinds:list_command", "list methods, sources, indexes, re-rankers, metrics, ..."),
    "tune": Entry("croquis.cli.commands.tune:tune_command", "search params with Optuna"),
    "registry": Entry("croquis.cli.command_tree:registry", "versions of the model: status, promote, rollback, ...", ""),
    "serve": Entry("croquis.cli.commands.serve:serve_command", "serve the champion, or a bundle, over HTTP", "serving"),
    "embed": Entry("croquis.cli.commands.embed:embed_command", "embed the images of Parquet shards in bulk"),
    "store": Entry("croquis.cli.command_tree:store", "versions of a catalogue in a vector store", ""),
    "events": Entry("croquis.cli.command_tree:events", "product events from and to a stream", ""),
    "sync": Entry("croquis.cli.commands.sync:sync_command", "bring MLflow up to what DVC knows"),
    "ui": Entry("croquis.cli.commands.ui:ui_command", "open the MLflow UI on this project's runs"),
    "plots": Entry("croquis.cli.commands.plots:plots_command", "draw the page of `dvc plots show` to be read offline"),
    "sheet": Entry("croquis.cli.commands.plots:sheet_command", "draw a contact sheet of the rendered catalogue"),
    "doctor": Entry("croquis.cli.inspection.doctor:doctor_command", "what is installed, which engines answer, what is wrong", ""),
    "completion": Entry("croquis.cli.completion:completion_command", "print the script that completes commands", ""),
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
