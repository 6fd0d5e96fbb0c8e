"""Commands `events consume | feed`: product events from a stream into a store, and a catalogue as product events."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import click

from croquis.cli.command_line import PATH, Invocation, bundle_options, command, one_of, option
from croquis.events.event_command import ConsumeOptions, consume
from croquis.events.feed import feed
from croquis.refusals import RefusedError

USUAL = ConsumeOptions("", "")
STREAM = "nats://HOST:PORT/STREAM or kafka://HOST:PORT/TOPIC"


@command("""Brings product events from a stream into a store, embedded by a bundle's encoder.

    croquis events consume --from nats://127.0.0.1:4222/products --to faiss:models/store --bundle models/bundles/siamese
    croquis events consume --from kafka://kafka:9092/products --to milvus:http://milvus:19530 \\
        --model models:/fashion-retriever@champion

Events: docs/scale.md. SIGTERM and Ctrl-C end it when the batch under way is committed.""")
@option("--from", "source", required=True, metavar="URI", help=STREAM)
@option("--to", required=True, metavar="URI", help="faiss:FOLDER, milvus:FILE.db or milvus:http://HOST:PORT")
@bundle_options("whose encoder embeds the pictures")
@option("--catalogue", default=USUAL.catalogue, help="name of the catalogue in the store")
@option("--store-version", metavar="NAME", help="a version of it; the current one by default")
@option("--create", is_flag=True, help="make and publish a version where none is current")
@option(
    "--kind",
    default=USUAL.kind,
    type=click.Choice(["flat", "hnsw"]),
    help="index kind of the version that --create makes",
)
@option("--images", type=PATH, metavar="FOLDER", help="what paths of pictures in events are relative to")
@option("--params", type=PATH, default=USUAL.params, help="params file whose `validate` block has the thresholds")
@option("--group", help="consumers that share the work (default: the version's name, each version gets every event)")
@option("--batch", default=USUAL.batch, help="events that are embedded and written together")
@option(
    "--held-bytes",
    default=USUAL.held_bytes,
    metavar="N",
    help="bytes of picture files that are held at once; a batch with more is done in parts",
)
@option("--wait", default=USUAL.wait, metavar="SECONDS", help="time to wait for the first event of a batch")
@option(
    "--redeliver",
    default=USUAL.redeliver,
    metavar="SECONDS",
    help="NATS: time after which an unfinished event is delivered again",
)
@option(
    "--grace",
    default=USUAL.grace,
    metavar="SECONDS",
    help="time that the current batch gets when the command is stopped",
)
@option("--until-idle", type=float, metavar="SECONDS", help="end after this time without an event")
@option(
    "--metrics-port",
    default=USUAL.metrics_port,
    help="port of http://HOST:PORT/metrics; 0 for any free one",
)
@option(
    "--metrics-host",
    default=USUAL.metrics_host,
    metavar="HOST",
    help="address at which the metrics are served",
)
@click.pass_obj
def consume_command(invocation: Invocation, /, **given: Any) -> int:
    one_of(bundle=given["bundle"], model=given["model"])
    invocation.set_up_logging(logging.INFO)
    try:
        return consume(ConsumeOptions(**given))
    except ValueError as error:
        raise RefusedError(str(error)) from error


@command("""Sends the catalogue of params.yaml as product events, one upsert for each product.

    croquis events feed --to nats://127.0.0.1:4222/products

The catalogue is the source that `ingest.source` names. Photos of the domain `shop` are sent.""")
@option("--to", required=True, metavar="URI", help=STREAM)
@option("--params", type=PATH, default=USUAL.params, help="params file whose source is read")
@option("--version", type=int, metavar="N", help="version of the events (default: the time, in seconds)")
@click.pass_obj
def feed_command(invocation: Invocation, to: str, params: Path, version: int | None) -> int:
    invocation.set_up_logging()
    try:
        return feed(to, params, version)
    except ValueError as error:
        raise RefusedError(str(error)) from error
