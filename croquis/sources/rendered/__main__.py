"""`python -m croquis.sources.rendered --contact-sheet docs/images/catalogue.png` draws the picture of the README."""

from __future__ import annotations

import argparse

from croquis.params.loader import load_params
from croquis.sources.rendered.item_sheet import write_sheet

SOURCE = "rendered"


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m croquis.sources.rendered", description=__doc__)
    parser.add_argument("--contact-sheet", required=True, metavar="PNG", help="where the picture goes")
    parser.add_argument("--items", type=int, default=8, help="items shown, each of another category (8)")
    parser.add_argument("--side", type=int, default=112, help="side of one picture on the sheet, pixels (112)")
    arguments = parser.parse_args()
    params = load_params()
    block = getattr(params.ingest, SOURCE)
    write_sheet(arguments.contact_sheet, params.ingest.rendered, params.base.seed, arguments.items, arguments.side)


if __name__ == "__main__":
    main()
