"""Packs trained models, index and gallery into a bundle that is either whole or absent."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow as pa

from croquis.bundle.gallery_file import gallery_texts, write_gallery
from croquis.bundle.manifest import (
    DETECTOR,
    MANIFEST_FILE,
    MAP,
    SCHEMA_VERSION,
    TEXT_FILES,
    BundleError,
    FileEntry,
    IndexBlock,
    ItemsBlock,
    Manifest,
    Preprocess,
    RefitBlock,
    WordsBlock,
    encoder_block,
)
from croquis.bundle.reader import Bundle
from croquis.files import fresh_folder, sha256_file, write_json
from croquis.index.vector_index import VectorIndex
from croquis.nets.classifier import AttributeClassifier
from croquis.nets.encoder import describe_encoder, detector_of, drawing_maps, graph_of, text_files
from croquis.nets.generator import Generator
from croquis.rerank.rerank_settings import RerankBlock
from croquis.settings import check_settings
from croquis.strict_json import parse_description
from croquis.words.text_file import write_texts
from croquis.words.word_settings import WordSettings

ENCODER, GENERATOR, CLASSIFIER = "encoder.onnx", "generator.onnx", "classifier.onnx"
INDEX, ITEMS, WORDS = "index.faiss", "gallery.parquet", "words.sqlite"


def write_bundle(
    folder: str | Path,
    *,
    method: str,
    encoder_folder: str | Path,
    generator_folder: str | Path | None,
    classifier_folder: str | Path | None,
    index: VectorIndex,
    gallery_table: pa.Table,
    rerank: Mapping[str, Any],
    image_size: int,
    draft: int = 0,
    purpose: str | None = None,
    words: Mapping[str, Any] | None = None,
    drawings: bool = True,
    refit: RefitBlock | None = None,
) -> Bundle:
    """Packs a bundle beside `folder`, opens every part of it, and only then gives it the name.

    Args:
        folder: where the bundle will stand; an existing one is replaced at the end.
        method: the retriever's name.
        encoder_folder, generator_folder, classifier_folder: folders of the trained models; None for no such part.
        index: over the encoder's vectors of the gallery, row for row with `gallery_table`; learned codebooks are in it.
        gallery_table: `GALLERY_SCHEMA`, in ascending order of image_id.
        rerank: as in params.yaml, see `RerankBlock`.
        image_size: side of the prepared images, pixels; must be the encoder's.
        draft: `croquis.catalog.images.decode_inside`'s, with which photos of the gallery were decoded and queries will be.
        purpose: see `Manifest`.
        words: as `index.words` in params.yaml, see `WordSettings`; None for a bundle that answers no query of words.
        drawings: whether queries by sketch are part of what it was made for.
        refit: see `Manifest`.

    Raises:
        BundleError, ModelError, ItemsError: when the parts do not fit each other; nothing is left behind.
    """
    target = Path(folder)
    with fresh_folder(target) as partial:
        parts = _copy_models(partial, Path(encoder_folder), generator_folder, classifier_folder, image_size)
        index.save(partial / INDEX)
        write_gallery(partial / ITEMS, gallery_table)
        towered = parts["encoder"].text is not None
        searched = None if words is None else _write_words(partial / WORDS, gallery_table, words, towered)
        manifest = Manifest(
            schema_version=SCHEMA_VERSION,
            method=method,
            preprocess=Preprocess(image_size, draft or None),
            **parts,
            index=_index_block(index),
            items=ItemsBlock(ITEMS, gallery_table.num_rows),
            rerank=RerankBlock.from_description(rerank, "rerank", BundleError),
            files={file.name: FileEntry(sha256_file(file), file.stat().st_size) for file in sorted(partial.iterdir())},
            purpose=purpose,
            words=searched,
            drawings=None if drawings else False,
            refit=refit,
        )
        write_json(partial / MANIFEST_FILE, manifest.to_json())
        # A graph with its weights in a second file, say, fails here and not in a server.
        Bundle.load(partial).open_all()
    return Bundle(target, manifest)


def _copy_models(
    partial: Path, encoder: Path, generator: str | Path | None, classifier: str | Path | None, image_size: int
) -> dict[str, Any]:
    """Copies the graphs under their names in a bundle and returns the manifest's blocks."""
    described = describe_encoder(encoder)
    if described.size != image_size:
        raise BundleError(f"the encoder of {encoder} takes {described.size} pixels, image_size is {image_size}")
    if (graph := graph_of(described)) is not None:
        shutil.copyfile(encoder / graph, partial / ENCODER)
    if (detector := detector_of(described)) is not None:
        shutil.copyfile(encoder / detector, partial / DETECTOR)
    if described.map is not None:
        shutil.copyfile(encoder / described.map, partial / MAP)
    for kind, file in drawing_maps(described).items():
        shutil.copyfile(encoder / file, partial / f"{kind}.npy")
    for part, file in text_files(described).items():
        shutil.copyfile(encoder / file, partial / TEXT_FILES[part])
    blocks: dict[str, Any] = {"encoder": encoder_block(described, ENCODER), "generator": None, "classifier": None}
    if generator is not None:
        painter = Generator.describe(generator)
        shutil.copyfile(Path(generator) / painter.file, partial / GENERATOR)
        blocks["generator"] = replace(painter, file=GENERATOR)
    if classifier is not None:
        labeller = AttributeClassifier.describe(classifier)
        shutil.copyfile(Path(classifier) / labeller.file, partial / CLASSIFIER)
        blocks["classifier"] = replace(labeller, file=CLASSIFIER)
    return blocks


def _write_words(path: Path, table: pa.Table, words: Mapping[str, Any], towered: bool) -> WordsBlock:
    settings = parse_description(WordSettings, words, "words", BundleError)
    check_settings(settings, BundleError)
    write_texts(path, gallery_texts(table), settings.tokenizer)
    tower_weight = settings.tower_weight if towered else None
    return WordsBlock(path.name, table.num_rows, settings.tokenizer, settings.weight, tower_weight)


def _index_block(index: VectorIndex) -> IndexBlock:
    return IndexBlock(
        kind=index.kind,
        file=INDEX,
        rows=len(index),
        dim=index.dim,
        metric=index.metric,
        bytes_per_vector=index.nbytes,
        parameters=index.parameters,
        comparison=index.comparison,
    )
