"""Opens a bundle, every file checked before any is used."""

from __future__ import annotations

from pathlib import Path

from croquis.bundle.gallery_table import GalleryTable
from croquis.bundle.manifest import MANIFEST_FILE, BundleError, Manifest
from croquis.files import read_json, sha256_file
from croquis.index.build import load_index
from croquis.index.vector_index import VectorIndex
from croquis.lazy import Lazy
from croquis.nets.classifier import AttributeClassifier
from croquis.nets.encoder import Encoder, open_encoder, open_text
from croquis.nets.generator import Generator
from croquis.nets.text_encoder import TextEncoder
from croquis.words.text_file import TextFile, TextFileError

SHOWN = 20


class Bundle:
    """A folder whose files are those of its manifest, byte for byte; its parts are opened when first asked for.

    Args:
        folder: where the files are; `Bundle.load` checks them first.
        manifest: what they are.
        threads: threads of ONNX Runtime and FAISS for one call.
    """

    def __init__(self, folder: Path, manifest: Manifest, threads: int = 1) -> None:
        self.folder = folder
        self.manifest = manifest
        self.threads = threads
        self._encoder = Lazy(lambda: open_encoder(manifest.encoder_description, folder, threads))
        self._text = Lazy(lambda: open_text(manifest.encoder_description, folder, threads))
        self._generator = Lazy(self._open_generator)
        self._classifier = Lazy(self._open_classifier)
        self._index = Lazy(self._open_index)
        self._items = Lazy(self._open_items)
        self._words = Lazy(self._open_words)

    @classmethod
    def load(cls, path: str | Path, threads: int = 1) -> Bundle:
        """Reads the manifest and checks every file against it.

        Raises:
            BundleError: naming the file that is missing, changed or not in the manifest, or the wrong key.
        """
        folder = Path(path)
        if not (folder / MANIFEST_FILE).is_file():
            raise BundleError(f"{folder} is not a bundle: it has no {MANIFEST_FILE}{_others(folder)}")
        if (folder / MANIFEST_FILE).is_symlink():
            raise BundleError(
                f"{folder / MANIFEST_FILE} is a link; a bundle holds its files themselves: copy what it leads to"
            )
        try:
            values = read_json(folder / MANIFEST_FILE)
        except ValueError as error:
            raise BundleError(f"{folder / MANIFEST_FILE} is not JSON: {error}") from error
        bundle = cls(folder, Manifest.from_json(values), threads)
        bundle._verify()
        return bundle

    @property
    def hash(self) -> str:
        """The identity of the bundle: SHA-256 of its canonical manifest."""
        return self.manifest.hash

    @property
    def encoder(self) -> Encoder:
        """Opened when first asked for, as every part is.

        Raises:
            ModelError: when the net cannot be opened.
        """
        return self._encoder.get()

    @property
    def text_encoder(self) -> TextEncoder | None:
        """The text tower of the encoder; None in a bundle without one."""
        return self._text.get()

    @property
    def generator(self) -> Generator | None:
        """The net that paints photos of sketches; None in a bundle without one."""
        return self._generator.get()

    @property
    def classifier(self) -> AttributeClassifier | None:
        """The attribute classifier; None in a bundle without one."""
        return self._classifier.get()

    @property
    def index(self) -> VectorIndex:
        """The gallery's vectors or codes, row for row with `items`."""
        return self._index.get()

    @property
    def items(self) -> GalleryTable:
        """Ids, categories, attributes and thumbnails of the gallery."""
        return self._items.get()

    @property
    def words(self) -> TextFile | None:
        """The words of the images, row for row with `items`; None in a bundle made without them."""
        return self._words.get()

    def open_all(self) -> None:
        """Opens every part now: what is wrong with one shows here, and the first query is not slow."""
        for part in (
            self._encoder,
            self._text,
            self._generator,
            self._classifier,
            self._index,
            self._items,
            self._words,
        ):
            part.get()

    def _open_generator(self) -> Generator | None:
        described = self.manifest.generator
        return None if described is None else Generator(self.folder, self.threads, described)

    def _open_classifier(self) -> AttributeClassifier | None:
        described = self.manifest.classifier
        return None if described is None else AttributeClassifier(self.folder, self.threads, described)

    def _open_index(self) -> VectorIndex:
        block = self.manifest.index
        head = self.manifest.encoder.head
        file = self.folder / block.file
        index = load_index(file, metric=block.metric, head=head, dim=block.dim, comparison=block.comparison)
        index.threads = self.threads
        if (index.kind, len(index), index.dim) != (block.kind, block.rows, block.dim):
            raise BundleError(
                f"{block.file} is {index.kind} with {len(index)} x {index.dim} numbers, "
                f"the manifest says {block.kind} with {block.rows} x {block.dim}"
            )
        return index

    def _open_items(self) -> GalleryTable:
        block = self.manifest.items
        items = GalleryTable.open(self.folder / block.file)
        if len(items) != block.rows:
            raise BundleError(f"{block.file} has {len(items)} rows, the manifest says {block.rows}")
        return items

    def _open_words(self) -> TextFile | None:
        block = self.manifest.words
        if block is None:
            return None
        try:
            return TextFile(self.folder / block.file, block.rows, block.tokenizer)
        except TextFileError as error:
            raise BundleError(str(error)) from error

    def _verify(self) -> None:
        for name, entry in self.manifest.files.items():
            file = self.folder / name
            if file.is_symlink():
                raise BundleError(f"{file} is a link; a bundle holds its files themselves: copy what it leads to")
            if not file.is_file():
                raise BundleError(f"{file} is missing; its bundle is not whole")
            if file.stat().st_size != entry.bytes or sha256_file(file) != entry.sha256:
                raise BundleError(f"{file} was changed: its SHA-256 is not {entry.sha256}, as the manifest says")
        strangers = sorted({each.name for each in self.folder.iterdir()} - {*self.manifest.files, MANIFEST_FILE})
        if strangers:
            raise BundleError(f"{self.folder} holds {strangers}, which are not in its manifest")


def _others(folder: Path) -> str:
    """Which bundles are in the folder and beside it, for the error about a wrong path."""
    near = [path.parent for place in (folder, folder.parent) for path in place.glob(f"*/{MANIFEST_FILE}")]
    return f"; bundles near it: {', '.join(map(str, sorted(near)[:SHOWN]))}" if near else "; `dvc repro` makes bundles"
