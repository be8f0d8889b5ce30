#!/usr/bin/env python3
"""Renders the drawings of this folder into ../croissant.pass at the sizes Apple asks for.

Needs Python 3 with Pillow, and Chromium, pngquant and zopflipng on the PATH. The PNGs are committed, so only
whoever changes a drawing needs this.
"""

import pathlib
import shutil
import subprocess
import sys
import tempfile

from PIL import Image

HERE = pathlib.Path(__file__).resolve().parent
PASS = HERE.parent / "croissant.pass"

# Drawing, size in points (Apple, Pass Design and Creation: coupon), colours of the palette.
DRAWINGS = [
    ("icon", 29, 29, 64),
    ("logo", 50, 50, 32),
    ("strip", 375, 144, 128),
    ("used-strip", 375, 144, 64),
    ("coffee-strip", 375, 144, 96),
]
SCALES = [(1, ""), (2, "@2x"), (3, "@3x")]


def program(*names: str) -> str:
    """The first of `names` that is installed."""
    for name in names:
        if path := shutil.which(name):
            return path
    sys.exit(f"install one of: {', '.join(names)}")


def main() -> None:
    """Renders every drawing at every scale."""
    chromium = program("chromium", "chromium-browser", "google-chrome")
    pngquant = program("pngquant")
    zopflipng = program("zopflipng")
    total = 0
    with tempfile.TemporaryDirectory() as scratch:
        page = pathlib.Path(scratch, "page.html")
        raw = pathlib.Path(scratch, "raw.png")
        small = pathlib.Path(scratch, "small.png")
        for name, width, height, colours in DRAWINGS:
            drawing = (HERE / f"{name}.svg").read_text(encoding="utf-8")
            page.write_text(
                "<!doctype html><meta charset=utf-8>"
                "<style>body{margin:0}svg{display:block}</style>" + drawing,
                encoding="utf-8",
            )
            for scale, suffix in SCALES:
                # The window is larger than the drawing: Chromium has a least window size.
                subprocess.run(
                    [
                        chromium, "--headless", "--no-sandbox", "--disable-gpu", "--no-first-run",
                        "--disable-background-networking", "--disable-component-update",
                        "--disable-sync", "--hide-scrollbars", "--force-color-profile=srgb",
                        "--default-background-color=00000000",
                        f"--user-data-dir={scratch}/profile",
                        f"--force-device-scale-factor={scale}",
                        f"--window-size={max(width, 600)},{max(height, 600)}",
                        f"--screenshot={raw}", page.as_uri(),
                    ],
                    check=True, capture_output=True,
                )
                with Image.open(raw) as shot:
                    shot.crop((0, 0, width * scale, height * scale)).save(raw)
                subprocess.run(
                    [pngquant, "--force", "--speed=1", "--strip", "--floyd=0.6",
                     f"--output={small}", str(colours), str(raw)],
                    check=True,
                )
                target = PASS / f"{name}{suffix}.png"
                subprocess.run(
                    [zopflipng, "-y", "--filters=0me", str(small), str(target)],
                    check=True, capture_output=True,
                )
                total += target.stat().st_size
                print(f"{target.name:22} {width * scale:5} x {height * scale:<4} {target.stat().st_size:7}")
    print(f"{total} bytes in all")


if __name__ == "__main__":
    main()
