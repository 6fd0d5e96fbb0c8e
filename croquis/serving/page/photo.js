// A photo from the file dialog, a drop or the clipboard.

import { byId } from "./dom.js";
import { CropBox } from "./crop.js";
import { Views, drawn } from "./views.js";

// What the server decodes; anything else that the browser can show (HEIC in some) is sent as a JPEG.
const SENT_AS_IS = ["image/jpeg", "image/png", "image/webp", "image/bmp", "image/gif"];
const LONGEST_SIDE = 8192; // of a picture that is encoded again, pixels

export class Photo {
  #url = null;

  /** @param {() => void} changed a new photo or crop  @param {() => void} arriving a photo was dropped or pasted */
  constructor(changed, arriving) {
    this.file = null;
    this.image = byId("shown");
    this.crop = new CropBox(byId("frame"), byId("crop"), this.image, byId("crop-place"), changed);
    this.changed = changed;
    this.arriving = arriving;
    this.views = new Views(changed);
    byId("more").addEventListener("change", (event) => {
      this.#addAll([...event.target.files]);
      event.target.value = "";
    });
    byId("file").addEventListener("change", (event) => {
      this.#take(event.target.files);
      event.target.value = "";
    });
    byId("whole").addEventListener("click", () => {
      this.crop.reset();
      changed();
    });
    this.#listenToDrops();
    document.addEventListener("paste", (event) => this.#take(event.clipboardData.files));
  }

  /** What to search for, or null before there is a photo. Of several photos the first is cut here: a crop box is for one. */
  async query() {
    if (!this.file) return null;
    const first = { file: this.file, name: this.file.name ?? "photo.jpg" };
    const others = this.views.files.map((file, i) => ({ file, name: `photo-${i + 2}.jpg` }));
    if (!others.length) return { images: [first], crop: this.crop.pixels };
    const box = this.crop.pixels ?? [0, 0, this.image.naturalWidth, this.image.naturalHeight];
    return { images: [{ file: await drawn(this.image, box), name: "photo-1.jpg" }, ...others], crop: null };
  }

  /** Refuses files over `bytes`. */
  limit(bytes) {
    this.mostBytes = bytes;
  }

  #listenToDrops() {
    const root = document.documentElement;
    document.addEventListener("dragover", (event) => {
      event.preventDefault();
      root.classList.add("dropping");
    });
    document.addEventListener("dragleave", (event) => {
      if (event.relatedTarget === null) root.classList.remove("dropping");
    });
    document.addEventListener("drop", (event) => {
      event.preventDefault();
      root.classList.remove("dropping");
      this.#take(event.dataTransfer.files);
    });
  }

  async #take(files) {
    if (!files.length) return;
    this.arriving();
    try {
      await this.#show(files[0]);
      this.#complain("");
      this.views.clear();
      await this.#addAll([...files].slice(1));
      this.changed();
    } catch (error) {
      this.#complain(error.message);
    }
  }

  /** Further photos of the same garment. */
  async #addAll(files) {
    for (const file of files) {
      if (this.views.full) break;
      const url = URL.createObjectURL(file);
      try {
        await this.views.add(await opened(url, file.name || "The file"));
      } catch (error) {
        this.#complain(error.message);
      } finally {
        URL.revokeObjectURL(url);
      }
    }
    if (files.length) this.changed();
  }

  async #show(file) {
    const name = file.name || "The file";
    if (this.mostBytes && file.size > this.mostBytes) {
      const megabytes = (bytes) => (bytes / 1e6).toFixed(1);
      throw new Error(`${name} has ${megabytes(file.size)} MB; the server takes ${megabytes(this.mostBytes)} MB at most.`);
    }
    const url = URL.createObjectURL(file);
    const probe = await opened(url, name).catch((error) => {
      URL.revokeObjectURL(url);
      throw error;
    });
    this.file = SENT_AS_IS.includes(file.type) ? file : await encoded(probe);
    if (this.#url) URL.revokeObjectURL(this.#url);
    this.#url = url;
    this.image.src = url;
    await this.image.decode();
    byId("frame").style.setProperty("--ratio", this.image.naturalWidth / this.image.naturalHeight);
    this.crop.reset();
    byId("drop").hidden = true;
    byId("photo").hidden = false;
  }

  #complain(words) {
    const wrong = byId("photo-error");
    wrong.hidden = words === "";
    wrong.textContent = words;
  }
}

/** A picture that the browser can show. */
async function opened(url, name) {
  const image = new Image();
  image.src = url;
  const shown = await image.decode().then(() => image.naturalWidth > 0, () => false);
  if (!shown) throw new Error(`${name} is no picture that this browser can show. Try a JPEG, PNG or WebP.`);
  return image;
}

/** The picture as a JPEG of the same size, so that the crop box stays true; only a huge one is refused. */
async function encoded(image) {
  const { naturalWidth: width, naturalHeight: height } = image;
  if (Math.max(width, height) > LONGEST_SIDE) throw new Error("The picture is too large. Save it as a smaller JPEG.");
  return drawn(image, [0, 0, width, height], LONGEST_SIDE);
}
