"""Films, upscaled frame by frame in bounded memory, all else copied. PyAV (optional) reads and writes them."""

import math
from collections.abc import Callable, Iterable
from contextlib import suppress
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np

from srgan.application.metadata import MARK
from srgan.application.streams import Copies, copy_tags, described, is_cover
from srgan.common.errors import UserError, describe, error_context, warn
from srgan.common.files import whole_file

# Films that are read, and those that are written: what phones and browsers play, and Matroska, which holds most.
EXTENSIONS = {
    *(".3g2", ".3gp", ".asf", ".avi", ".divx", ".dv", ".f4v", ".flv", ".m1v", ".m2t", ".m2ts", ".m2v", ".m4v"),
    *(".mkv", ".mov", ".mp4", ".mpe", ".mpeg", ".mpg", ".mpv", ".mts", ".mxf", ".ogm", ".ogv", ".qt", ".rm"),
    *(".rmvb", ".ts", ".vob", ".webm", ".wmv", ".wtv", ".xvid", ".y4m"),
}
RESULTS = (".mp4", ".mkv", ".mov")
# For a film of a kind that isn't written, the kind that holds its sound; Matroska for others.
_SUFFIXES = {".mp4": ".mp4", ".m4v": ".mp4", ".f4v": ".mp4", ".mov": ".mov", ".3gp": ".mov", ".3g2": ".mov"}
# High quality; a short lookahead, since its frames are in memory.
ENCODER, ENCODER_OPTIONS = "libx264", {"crf": "17", "preset": "fast", "rc-lookahead": "10"}
LONGEST_SIDE = 16384

# FFmpeg's numbers for colours: BT.709, the transfer curves of HDR (PQ and HLG), and primaries beyond those of BT.709
# (BT.2020, P3).
_BT709, _UNSPECIFIED, _HDR, _WIDE = 1, 2, (16, 18), (9, 11, 12)


def is_film(path: Path) -> bool:
    """Whether a file is a film, by its extension."""
    return path.suffix.lower() in EXTENSIONS


def result_suffix(film: Path) -> str:
    """The extension of a film's result."""
    return _SUFFIXES.get(film.suffix.lower(), ".mkv")


def upscale_film(
    source: Path,
    target: Path,
    upscale: Callable[[np.ndarray], np.ndarray],
    progress: Callable[..., Iterable] = lambda frames, total: frames,
) -> None:
    """Upscale a film's video into H.264, 8 bits, BT.709.

    Sound, subtitles, chapters, attachments, titles and languages are copied; a warning names what the container of the
    result doesn't hold.

    Args:
        upscale: uint8 H x W x 3 -> uint8, of a fixed factor.
        progress: wraps the frames, `total` being their number or None, as `tqdm` does.

    Raises:
        UserError: PyAV is missing or too old, the film can't be read, is cut off or has no pictures, or the result
            can't be written.
    """
    av = _import_av(source)
    with whole_file(target) as part:
        _check_whole(av, source)
        try:
            with _open(av, source) as film, av.open(_file(part), "w") as result:
                if film.format.name.endswith("_pipe"):  # FFmpeg's name for a picture's file
                    raise UserError(f"{source}: expected a film, found a picture: give it a picture's extension")
                if all(map(is_cover, film.streams.video)):
                    raise UserError(f"{source}: expected a film, found no video in it")
                expected = _copy(av, source, target, film, result, upscale, progress)
            _warn_of_missing(av, source, part, target, expected)
        except OSError:
            raise  # `whole_file` says that the result can't be written: the source has been read
        except (av.FFmpegError, ValueError) as error:
            raise UserError(f"{source}: can't be upscaled as a film: {describe(error)}") from error


def _check_whole(av: ModuleType, source: Path) -> None:
    """Check that a film's packets go as far as its header says, which takes seconds; the work takes hours."""
    if source.exists() and not source.is_file():
        raise UserError(f"{source}: expected a film, found a folder or a device")
    with suppress(OSError), source.open("rb") as file:
        # FFmpeg estimates the length of an AVI from what is left of it.
        kind, size = file.read(4), int.from_bytes(file.read(4), "little")
        if kind == b"RIFF" and 8 + size > (found := source.stat().st_size):
            raise UserError(f"{source}: expected {8 + size:,} bytes, found {found:,}: the file is cut off")
    try:
        with _open(av, source) as film:
            expected = film.duration / av.time_base if film.duration else 0
            # Some containers don't say how long a picture is shown.
            rates = [video.guessed_rate for video in film.streams.video if video.guessed_rate]
            main, last = film.streams.best("video"), -math.inf
            damaged, end, frame = 0, 0.0, max((float(1 / rate) for rate in rates), default=0.0)
            for packet in film.demux():
                damaged += packet.is_corrupt
                if packet.stream is main and packet.dts is not None:
                    time = float(packet.dts * packet.time_base)
                    if time < last:
                        raise UserError(f"{source}: its time goes back from {last:.1f} s to {time:.1f} s: cut it there")
                    last = time
                if packet.pts is not None:
                    end = max(end, float((packet.pts + (packet.duration or 0)) * packet.time_base))
                    frame = max(frame, float((packet.duration or 0) * packet.time_base))
    except (av.FFmpegError, ValueError) as error:
        raise UserError(f"{source}: can't be upscaled as a film: {describe(error)}") from error
    # Headers are rounded, and the last pictures may have no duration.
    if expected - end > max(min(1, expected / 20), 2 * frame):
        raise UserError(f"{source}: expected {expected:.1f} s of film, found {end:.1f} s: the file is cut off")
    if damaged:
        warn(f"{source}: {damaged} of its packets are damaged, or it is cut off: upscaled as far as it goes")


def is_film_result(path: Path) -> bool:
    """Whether a film is one of our results, by its mark."""
    if not path.is_file():
        return False
    av = _import_av(path)
    try:
        with _open(av, path) as film:
            metadata = {name.lower(): value for name, value in film.metadata.items()}
            return metadata.get("comment", "").startswith(MARK)
    except av.FFmpegError:
        return False


def _file(path: Path) -> str:
    # Otherwise a name such as "http:a.mp4" or "concat:a.mp4" means something else to FFmpeg.
    return f"file:{path}"


def _open(av: ModuleType, path: Path) -> Any:
    # A short transport stream isn't recognized.
    return av.open(_file(path), format="mpegts" if path.suffix.lower() in (".ts", ".mts", ".m2t", ".m2ts") else None)


def _copy(
    av: ModuleType,
    source: Path,
    target: Path,
    film: Any,
    result: Any,
    upscale: Callable[[np.ndarray], np.ndarray],
    progress: Callable[..., Iterable],
) -> set[tuple[str, str]]:
    """Upscale the pictures and copy the rest. Returns: the tags that should be in the result."""
    video = film.streams.best("video")
    video.thread_type = "AUTO"
    output = result.add_stream(ENCODER, rate=video.average_rate or 25, options=ENCODER_OPTIONS)
    copies = Copies(av, source, target, film, result, video)
    copy_tags(film, result, {video: output, **copies.streams})
    is_set_up, damaged = False, 0
    for frame in progress(copies.frames(), total=video.frames or None):
        damaged += frame.is_corrupt
        pixels = upscale(_read_frame(frame))
        if not is_set_up:
            _warn_of_pictures(source, frame, video)
            with error_context(str(source)):
                _set_up(output, video, frame, pixels)
            copies.release()
            is_set_up = True
        elif pixels.shape[:2] != (output.height, output.width):
            size = f"{frame.width} x {frame.height}"
            raise UserError(f"{source}: its pictures change their size at {frame.time:.1f} s, to {size}: cut it there")
        picture = av.VideoFrame.from_ndarray(pixels, "rgb24")
        picture = picture.reformat(format=output.pix_fmt, dst_colorspace="ITU709", dst_color_range="MPEG")
        picture.pts, picture.time_base = frame.pts, frame.time_base
        result.mux(output.encode(picture))
    if not is_set_up:
        raise UserError(f"{source}: expected a film, found no picture in it that can be decoded")
    result.mux(output.encode(None))
    copies.finish()
    if damaged:
        warn(f"{source}: {damaged} of its pictures are damaged")
    return described(film, video, *copies.streams)


def _warn_of_missing(av: ModuleType, source: Path, written: Path, target: Path, expected: set[tuple[str, str]]) -> None:
    """Name what should be in the result but isn't: containers silently drop the tags that they don't hold."""
    with av.open(_file(written)) as result:
        missing = sorted({name for name, _ in expected - described(result, *result.streams)})
        with _open(av, source) as film:
            if len(result.chapters()) < len(film.chapters()):
                missing.append(f"{len(film.chapters())} chapters")
    if missing:
        warn(f"{source}: {target.suffix} doesn't hold its {', '.join(missing)}: left out")


def _warn_of_pictures(source: Path, frame: Any, video: Any) -> None:
    """Name what is not kept of the pictures themselves."""
    components = frame.format.components
    if video.codec_context.color_trc in _HDR:
        warn(f"{source}: HDR becomes SDR without tone mapping: colours become pale")
    elif video.codec_context.color_primaries in _WIDE:
        warn(f"{source}: its wide colour gamut is treated as BT.709: colours become pale")
    if components[0].bits > 8:
        warn(f"{source}: pictures of {components[0].bits} bits become 8-bit")
    if any(component.is_alpha for component in components):
        warn(f"{source}: its transparency is left out")
    if frame.rotation % 90:
        warn(f"{source}: turned by {frame.rotation} degrees: rounded to a multiple of 90")
    if frame.interlaced_frame:
        warn(f"{source}: interlaced: moving objects have combs, which would be upscaled; deinterlace it first")


def _read_frame(frame: Any) -> np.ndarray:
    """uint8 H x W x 3, upright."""
    # For films that don't say, all players assume the colour space by the size.
    colours = frame.colorspace if frame.colorspace != _UNSPECIFIED else "ITU709" if frame.height >= 720 else "ITU601"
    array = frame.reformat(format="rgb24", src_colorspace=colours).to_ndarray()
    turns = round(frame.rotation / 90)
    if _is_mirrored(frame):  # FFmpeg counts left and right in exchange as half a turn
        array, turns = array[:, ::-1], turns + 2
    return np.ascontiguousarray(np.rot90(array, turns))


def _is_mirrored(frame: Any) -> bool:
    """Whether the display matrix, a b u c d v x y w in fixed point, mirrors the picture, as for front cameras."""
    matrices = [np.frombuffer(data, np.int32) for data in frame.side_data if data.type.name == "DISPLAYMATRIX"]
    return any(float(a) * d < float(b) * c for a, b, _, c, d, *_ in matrices)


def _set_up(output: Any, video: Any, frame: Any, pixels: np.ndarray) -> None:
    """Set up the encoder, once the first frame is known."""
    height, width = pixels.shape[:2]
    if max(height, width) > LONGEST_SIDE:
        raise UserError(f"expected sides of at most {LONGEST_SIDE} pixels, found {width} x {height}: use --outscale")
    output.width, output.height = width, height
    # Half the resolution for colours, as players expect; that needs even sides.
    output.pix_fmt = "yuv444p" if width % 2 or height % 2 else "yuv420p"
    context = output.codec_context
    context.time_base = video.time_base
    context.colorspace = context.color_primaries = context.color_trc = _BT709
    context.color_range = 1  # MPEG's 16 to 235
    aspect = video.sample_aspect_ratio
    if aspect:
        context.sample_aspect_ratio = aspect if round(frame.rotation / 90) % 2 == 0 else 1 / aspect


def _import_av(path: Path) -> ModuleType:
    missing = f'{path}: films need PyAV 16 or newer: pip install "av>=16"'
    try:
        import av
    except ImportError as error:
        raise UserError(missing) from error
    if not (hasattr(av.VideoFrame, "rotation") and hasattr(av.container.OutputContainer, "add_attachment")):
        raise UserError(missing)
    return av
