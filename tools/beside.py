"""Draw the most detailed parts of photographs in one picture, a row for each, with a column for each network.

python -m tools.beside PHOTOGRAPHS bicubic srresnet_photo --files a.jpg b.jpg --out beside.jpg
"""

import argparse
from pathlib import Path

from srgan.application.parts import HEIGHT, WIDTH, find_parts, load_contender, upscale_part
from srgan.common.errors import UserError, command
from srgan.common.images import read_rgb, write_image
from tools.details import columns


@command
def beside() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("photographs", type=Path, help="folder")
    parser.add_argument("networks", nargs="+", help="bicubic, released names, weights files or run folders")
    parser.add_argument("--files", nargs="+", required=True, metavar="NAME", help="photographs of the folder")
    parser.add_argument("--height", type=int, default=HEIGHT * 4, help="of each row in pixels (%(default)s)")
    parser.add_argument("--out", type=Path, required=True)
    args = parser.parse_args()
    networks = [load_contender(name)[1] for name in args.networks]
    rows = []
    for image in (read_rgb(args.photographs / name) for name in args.files):
        for x, y in find_parts(image)[:1]:
            rows.append([upscale_part(image, x, y, upscale)[: args.height] for upscale in networks])
    if not rows:
        raise UserError(f"--files: expected photographs of {WIDTH} x {HEIGHT} pixels or more, found none")
    write_image(args.out, columns(rows, [Path(name).stem for name in args.networks]), quality=88)
    print(f"written: {args.out}")


if __name__ == "__main__":
    beside()
