"""Films, upscaled frame by frame in bounded memory; times and sound are kept. PyAV reads and writes them (optional)."""

from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np

from srgan.common.errors import UserError, describe, warn
from srgan.common.files import whole_file
from srgan.upscaling.metadata import MARK

# Films that are read, and those that are written: what phones and browsers take, and Matroska, which holds any sound.
EXTENSIONS = {".mp4", ".m4v", ".mov", ".mkv", ".webm", ".avi"}
RESULTS = (".mp4", ".mkv", ".mov")
# High quality; few frames looked ahead, since each of them is held in memory.
ENCODER, ENCODER_OPTIONS = "libx264", {"crf": "17", "preset": "fast", "rc-lookahead": "10"}

# FFmpeg's numbers for colours: BT.709, and the transfer curves of HDR (PQ and HLG).
_BT709, _UNSPECIFIED, _HDR = 1, 2, (16, 18)


def is_film(path: Path) -> bool:
    """Whether a file is a film, by its extension."""
    return path.suffix.lower() in EXTENSIONS


def result_suffix(film: Path) -> str:
    """The extension of a film's result."""
    return {".mp4": ".mp4", ".m4v": ".mp4", ".mov": ".mov"}.get(film.suffix.lower(), ".mkv")


def upscale_film(
    source: Path,
    target: Path,
    upscale: Callable[[np.ndarray], np.ndarray],
    progress: Callable[..., Iterable] = lambda frames, total: frames,
) -> None:
    """Upscale a film's first video stream into H.264, 8 bits, BT.709; its sound is copied.

    Args:
        upscale: uint8 H x W x 3 -> uint8, of a fixed factor.
        progress: wraps the frames, `total` being their number or None, as `tqdm` does.

    Raises:
        UserError: PyAV is missing or too old, the film can't be read, has no pictures, or the result can't be written.
    """
    av = _import_av(source)
    with whole_file(target) as part:
        try:
            with av.open(str(source)) as film, av.open(str(part), "w") as result:
                if not film.streams.video:
                    raise UserError(f"{source}: expected a film, found no video in it")
                result.metadata["comment"] = MARK
                _copy(av, source, film, result, upscale, progress)
        except (av.FFmpegError, ValueError) as error:
            raise UserError(f"{source}: can't be upscaled as a film: {describe(error)}") from error


def is_film_result(path: Path) -> bool:
    """Whether a film is one of our results, by its mark."""
    av = _import_av(path)
    try:
        with av.open(str(path)) as film:
            metadata = {name.lower(): value for name, value in film.metadata.items()}
            return metadata.get("comment") == MARK
    except av.FFmpegError:
        return False


def _copy(
    av: ModuleType,
    source: Path,
    film: Any,
    result: Any,
    upscale: Callable[[np.ndarray], np.ndarray],
    progress: Callable[..., Iterable],
) -> None:
    video = film.streams.video[0]
    video.thread_type = "AUTO"
    output = result.add_stream(ENCODER, rate=video.average_rate or 25, options=ENCODER_OPTIONS)
    sound = {stream: result.add_stream_from_template(stream) for stream in film.streams.audio}
    if video.codec_context.color_trc in _HDR:
        warn(f"{source}: HDR becomes SDR without tone mapping: colours come out pale")
    sound_before: list[Any] | None = []  # packets that wait for the first picture, by which the encoder is set up

    def frames() -> Iterator[Any]:
        """Those of the video; the packets of the sound are copied as they come."""
        for packet in film.demux([video, *sound]):
            if packet.stream is video:
                yield from packet.decode()
            elif packet.dts is not None:
                packet.stream = sound[packet.stream]
                result.mux(packet) if sound_before is None else sound_before.append(packet)

    for frame in progress(frames(), total=video.frames or None):
        pixels = upscale(_read_frame(frame))
        if sound_before is not None:
            _set_up(output, video, frame, pixels)
            result.mux(sound_before)
            sound_before = None
        picture = av.VideoFrame.from_ndarray(pixels, "rgb24")
        picture = picture.reformat(format=output.pix_fmt, dst_colorspace="ITU709", dst_color_range="MPEG")
        picture.pts, picture.time_base = frame.pts, frame.time_base
        result.mux(output.encode(picture))
    if sound_before is not None:
        raise UserError(f"{source}: expected a film, found no picture in it that can be decoded")
    result.mux(output.encode(None))


def _read_frame(frame: Any) -> np.ndarray:
    """uint8 H x W x 3, upright."""
    # Films without a colour space have that of their size, as all players assume.
    colours = frame.colorspace if frame.colorspace != _UNSPECIFIED else "ITU709" if frame.height >= 720 else "ITU601"
    array = frame.reformat(format="rgb24", src_colorspace=colours).to_ndarray()
    return np.ascontiguousarray(np.rot90(array, frame.rotation // 90))


def _set_up(output: Any, video: Any, frame: Any, pixels: np.ndarray) -> None:
    """Tell the encoder what it encodes, once the first frame is there."""
    height, width = pixels.shape[:2]
    output.width, output.height = width, height
    # Half the resolution for colours, as players expect; that needs even sides.
    output.pix_fmt = "yuv444p" if width % 2 or height % 2 else "yuv420p"
    context = output.codec_context
    context.time_base = video.time_base
    context.colorspace = context.color_primaries = context.color_trc = _BT709
    context.color_range = 1  # MPEG's 16 to 235
    aspect = video.sample_aspect_ratio
    if aspect:
        context.sample_aspect_ratio = aspect if frame.rotation % 180 == 0 else 1 / aspect


def _import_av(path: Path) -> ModuleType:
    try:
        import av
    except ImportError:
        av = None
    if not (av and hasattr(av.VideoFrame, "rotation")):
        raise UserError(f'{path}: films need PyAV 14.1 or newer: pip install "av>=14.1"')
    return av
