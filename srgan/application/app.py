"""The page of `app.py` and `srgan app`: drop pictures on it, compare them with bicubic, download the results."""

import argparse
import getpass
import os
import re
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator
from functools import lru_cache
from html import escape
from pathlib import Path
from typing import Any

from srgan.application.choice import CLEAN, suited_weights
from srgan.application.comparison import compare_with_bicubic
from srgan.application.pictures import OPTIONS, TIFF, Picture, check_format, read_picture, write_picture
from srgan.application.serving import Gate, Sessions, Work, ended_at_once, listen, serve, temporary_folder
from srgan.common.errors import UserError, command, warn
from srgan.common.files import writing
from srgan.common.images import image_size, write_image
from srgan.common.precision import DEVICES, FORMATS, Precision, select_device
from srgan.networks.interpolate import load_with_strength
from srgan.networks.released import released_weights
from srgan.upscaling.upscaler import Upscaler

# Uploads are deleted after an hour, results when the page is closed, and all of them when the program ends.
CLEAN_EVERY, KEEP_FOR = 60, 3600
MOST_PICTURES = 20
AUTOMATIC = "what suits the file"

STYLE = """
.gradio-container { max-width: 900px !important; margin: 0 auto; }
footer { display: none !important; }
"""
# Gradio's upload takes no pasted pictures.
PASTE = """<script>
document.addEventListener("paste", event => {
  const input = document.querySelector("#pictures input[type=file]");
  if (!input || !event.clipboardData.files.length) return;
  input.files = event.clipboardData.files;
  input.dispatchEvent(new Event("change", {bubbles: true}));
});
</script>"""


class Cancelled(Exception):
    """The user doesn't want it any more."""


@command
def app() -> None:
    """Open a page to drop pictures on, for this machine alone unless --host says otherwise."""
    parser = argparse.ArgumentParser(description=app.__doc__)
    parser.add_argument("--host", default="127.0.0.1", help="0.0.0.0 lets other machines in (%(default)s)")
    parser.add_argument("--port", type=int, default=7860, help="(%(default)s)")
    parser.add_argument(
        "--password",
        nargs="?",
        const="",
        metavar="WORD",
        help="let in only who knows it; asked for without WORD",
    )
    parser.add_argument("--megapixels", type=float, default=16, help="the largest picture, upload (%(default)s)")
    parser.add_argument("--queue", type=int, default=8, help="how many may wait (%(default)s)")
    parser.add_argument("--device", choices=DEVICES, default="auto")
    parser.add_argument("--precision", choices=("auto", *FORMATS), default="auto")
    args = parser.parse_args()
    if not args.megapixels > 0 or args.queue < 1 or not 0 < args.port < 2**16:
        raise UserError("--megapixels takes more than 0, --queue takes 1 or more, --port takes 1 to 65535")
    Precision(args.precision, select_device(args.device))  # what can't be is said before the page opens
    password = args.password if args.password is None else args.password or ask_password()
    with ended_at_once(), temporary_folder() as folder, listen(args.host, args.port) as listener:
        # Gradio is told here alone: its settings in the environment could open folders or a tunnel to the internet.
        for name in [name for name in os.environ if name.startswith("GRADIO_")]:
            del os.environ[name]
        os.environ |= {"GRADIO_TEMP_DIR": str(folder), "GRADIO_ANALYTICS_ENABLED": "False"}
        page = build_page(folder, args.device, args.precision, args.megapixels * 1e6)
        page.queue(max_size=args.queue, default_concurrency_limit=1)
        gate = Gate(as_asgi(page), args.host, listener, password)
        if gate.is_open and password is None:
            warn(f"anybody on the network can use the page at {gate.url}, without a password: --password asks for one")
        print(f"the page: {gate.url} (Ctrl-C ends it)", flush=True)
        serve(gate, listener)


def ask_password() -> str:
    """Read the password from the terminal, or from standard input.

    Raises:
        UserError: there is none.
    """
    try:
        password = getpass.getpass("password for the page: ") if sys.stdin.isatty() else input()
    except EOFError:
        password = ""
    if not password:
        raise UserError("--password: expected a word, found nothing")
    return password


def as_asgi(page: Any) -> Any:
    """Gradio's `Blocks` as an ASGI application."""
    import fastapi
    import gradio as gr

    # As Gradio's own `launch` has them, without which it takes the name of any file of this machine for an upload.
    page.has_launched = page.is_running = True
    outer = fastapi.FastAPI(openapi_url=None)
    return gr.mount_gradio_app(outer, page, path="/", css=STYLE, head=PASTE, max_file_size="100mb", show_error=False)


def build_page(folder: Path, device: str, precision: str, most_pixels: float) -> Any:
    """Gradio's `Blocks`; uploads and results go into subfolders of `folder`.

    Raises:
        UserError: Gradio or the released weights are missing.
    """
    try:
        import gradio as gr
        import gradio.blocks  # once uninstalled, it leaves a folder that imports as an empty package
    except ImportError as error:
        raise UserError('the page needs Gradio: pip install "gradio>=6"') from error
    weights = released_weights()
    if not weights:
        raise UserError("expected released weights, such as weights/srgan_x4.safetensors, found none")
    choices = [*([AUTOMATIC] if CLEAN in weights else []), *weights]
    sessions = Sessions(folder)

    @lru_cache(maxsize=2)
    def upscaler(name: str, strength: float) -> Upscaler:
        network = weights[name] if strength == 1 else load_with_strength(weights[name], strength)
        return Upscaler(network, device, precision)

    def has_strength(name: str) -> bool:
        name = CLEAN if name == AUTOMATIC else name
        return name.replace("srgan", "srresnet") in weights.keys() - {name}

    def upscale(files: list[str] | None, name: str, strength: float, request: gr.Request, progress=gr.Progress()):  # noqa: B008
        if not files:
            raise gr.Error("Drop a picture first.", title="No picture", print_exception=False)
        if len(files) > MOST_PICTURES:
            gr.Warning(f"The first {MOST_PICTURES} of {len(files)} pictures are taken.", title="Left out")
        try:
            with sessions.work(str(request.session_hash)) as work:
                yield from upscale_files(files[:MOST_PICTURES], name, strength, work, progress)
        except UserError as error:
            raise gr.Error(shown(error), title="Not done", print_exception=False) from error

    def upscale_files(
        files: list[str], name: str, strength: float, work: Work, progress: gr.Progress
    ) -> Iterator[list]:
        paths, results = [Path(file) for file in files], []
        for i, path in enumerate(paths):

            def report(share: float, i: int = i, path: Path = path, started: float = time.monotonic()) -> None:
                if work.cancelled:
                    raise Cancelled
                which = f" ({i + 1} of {len(paths)})" if len(paths) > 1 else ""
                left = f", {(time.monotonic() - started) * (1 / share - 1):.0f} s left" if share else ""
                progress((i + share) / len(paths), f"{path.name}{which}{left}")

            try:
                suited = suited_weights(path) if name == AUTOMATIC else name
                network = upscaler(suited, strength if has_strength(suited) else 1)
                results.append(upscale_file(network, path, work.folder, most_pixels, report))
                yield list(results)
            except UserError as error:
                gr.Warning(shown(error), title="Left out", duration=None)
            except Cancelled:
                break
        yield list(results)

    def shown(error: UserError) -> str:
        """HTML that names files, and no folders of this machine."""
        return escape(re.sub(rf"{re.escape(str(folder))}/([^/\s]+/)*", "", str(error)), quote=False)

    def cancel(request: gr.Request) -> None:
        sessions.cancel(str(request.session_hash))

    def leave(request: gr.Request) -> None:
        sessions.end(str(request.session_hash))

    with gr.Blocks(title="Upscale pictures", delete_cache=(CLEAN_EVERY, KEEP_FOR), analytics_enabled=False) as page:
        gr.Markdown(
            "# Upscale pictures\nFour times as wide and high (srresnet_x2: twice). A picture comes back in its own "
            f"format, with its metadata. Up to {most_pixels / 1e6:g} megapixels each. Results are deleted when you "
            "close the page, and what you sent after an hour."
        )
        files = gr.File(label="Drop, paste or choose pictures", file_count="multiple", elem_id="pictures", height=180)
        with gr.Row():
            names = gr.Dropdown(choices, value=choices[0], label="Weights", min_width=240)
            strength = gr.Slider(
                0,
                1,
                value=1,
                step=0.05,
                label="Strength",
                info="0 soft and faithful, 1 crisp",
                visible=has_strength(choices[0]),
                min_width=240,
            )
        with gr.Row():
            go = gr.Button("Upscale", variant="primary")
            stop = gr.Button("Cancel")
        results = gr.State([])

        @gr.render(inputs=results)
        def show(results: list[dict[str, Any]]) -> None:
            for result in results:
                gr.HTML(f"<b>{escape(result['name'])}</b>, {result['note']}")
                gr.ImageSlider(result["pair"], label="bicubic | upscaled", interactive=False, buttons=["fullscreen"])
                gr.DownloadButton(f"Download {result['target'].name}", result["target"])

        names.change(lambda name: gr.Slider(visible=has_strength(name)), names, strength)
        work = go.click(upscale, [files, names, strength], results, show_progress_on=files)

        stop.click(cancel, queue=False, cancels=[work])
        page.unload(leave)
    return page


def upscale_file(
    upscaler: Upscaler, path: Path, folder: Path, most_pixels: float, report: Callable[[float], None]
) -> dict[str, Any]:
    """Upscale a picture file into a new subfolder, in its own format, or PNG where that isn't written.

    Args:
        report: is told how much is done, 0 to 1, and may raise to stop it.

    Returns:
        name, target (the file), pair (files: bicubic and the result, the middle of large ones), note (the sizes).

    Raises:
        UserError: it can't be read, has too many pixels, or its format can't hold the result.
    """
    report(0)
    width, height = image_size(path)
    if width * height > most_pixels:
        raise UserError(
            f"{path}: {width} x {height} are {width * height / 1e6:.1f} megapixels; "
            f"up to {most_pixels / 1e6:g} are taken here"
        )
    suffix = path.suffix.lower() if path.suffix.lower() in OPTIONS else ".png"
    with writing(folder):
        target = Path(tempfile.mkdtemp(dir=folder)) / f"{path.stem}_x{upscaler.scale}{suffix}"
    source = read_picture(path, suffix in TIFF, most_pixels)
    check_format(target, source, upscaler.scale)
    frames = []
    for i, frame in enumerate(source.frames):

        def progress(tiles: Iterable, i: int = i) -> Iterator:
            tiles = list(tiles)
            for k, tile in enumerate(tiles):
                report((i + k / len(tiles)) / len(source.frames))
                yield tile

        frames.append(upscaler.upscale(frame, progress))
    result = Picture(frames, source.metadata)
    write_picture(target, result)
    comparison = compare_with_bicubic(source, result, path.name, upscaler.scale)
    pair = [target.parent / f"{path.stem}_{side}.png" for side in ("bicubic", "result")]
    for file, image in zip(pair, (comparison.bicubic, comparison.result), strict=True):
        write_image(file, image)
    return {"name": path.name, "target": target, "pair": tuple(pair), "note": comparison.note}
