"""What a film has besides its pictures: sound, subtitles, attachments, chapters and tags. All are copied."""

import io
import re
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

from srgan.application.metadata import MARK
from srgan.common.errors import warn

# Tags that say how a file is made, not what is in it.
_TECHNICAL = re.compile(
    r"encoder|software|creation_time|handler_name|vendor_id|major_brand|minor_version|compatible_brands|"
    r"(duration|bps|number_of_(frames|bytes)|_statistics_.*)(-...)?|variant_bitrate",
    re.IGNORECASE,
)


class Copies:
    """Copies of a film's streams other than its video, as far as the container of the result holds them.

    Other sound is re-encoded; a warning names what is left out.
    """

    def __init__(self, av: ModuleType, source: Path, target: Path, film: Any, result: Any, video: Any) -> None:
        self.film, self.result, self.video = film, result, video
        self.streams: dict[Any, Any] = {}
        self.encoded: set[Any] = set()
        # Packets that wait until the first picture has set up the encoder.
        self._waiting: list[Any] | None = []
        left_out, pictures = [], []
        for stream in film.streams:
            if stream is video or stream.discard.name == "all":  # the text of an MP4's chapters, which come otherwise
                continue
            if stream.type != "video" and _holds(av, result.format.name, stream):
                self.streams[stream] = copy = result.add_stream_from_template(stream)
                if stream.type == "audio" and copy.codec_context:
                    copy.codec_context.layout = _layout(stream)  # MP4 has no sound without compression of no layout
            elif stream.type == "audio" and stream.codec_context and stream.layout.nb_channels and stream.rate:
                warn(f"{source}: {target.suffix} doesn't hold sound as {stream.codec_context.name}: it becomes AAC")
                self.streams[stream] = _add_aac(result, stream)
                self.encoded.add(stream)
            elif stream.type == "video":
                pictures.append("a cover picture" if is_cover(stream) else _named(stream))
            else:
                left_out.append(_named(stream))
        if pictures:
            warn(f"{source}: only its main video is upscaled; left out: {', '.join(pictures)}")
        if left_out:
            better = ", .mkv might" if target.suffix.lower() != ".mkv" else ""
            warn(f"{source}: {target.suffix} doesn't hold its {'; '.join(left_out)}{better}: left out")

    def frames(self) -> Iterator[Any]:
        """The frames of the video; packets of other streams are written as they come."""
        others = [stream for stream in self.streams if stream.type != "attachment"]
        for packet in self.film.demux([self.video, *others]):
            if packet.stream is self.video:
                yield from packet.decode()
            elif self._waiting is None:
                self._write(packet)
            else:
                self._waiting.append(packet)

    def release(self) -> None:
        """Write the waiting packets, and from now on each as it comes."""
        waiting, self._waiting = self._waiting or [], None
        for packet in waiting:
            self._write(packet)

    def finish(self) -> None:
        for stream in self.encoded:
            self.result.mux(self.streams[stream].encode(None))

    def _write(self, packet: Any) -> None:
        copy = self.streams[packet.stream]
        if packet.stream in self.encoded:
            for sound in packet.decode():
                self.result.mux(copy.encode(sound))
        elif packet.dts is not None:
            packet.stream = copy
            self.result.mux(packet)


def _add_aac(result: Any, stream: Any) -> Any:
    bits = 128_000 * min(stream.layout.nb_channels, 2)
    return result.add_stream("aac", rate=stream.rate, layout=_layout(stream), format="fltp", bit_rate=bits)


def _layout(stream: Any) -> str:
    """The channel layout of a sound; if it isn't given, the usual one."""
    return {"1 channels": "mono", "2 channels": "stereo"}.get(stream.layout.name, stream.layout.name)


def is_cover(stream: Any) -> bool:
    """Whether a video stream is a single picture that players show for a song or a film."""
    return "attached_pic" in (stream.disposition.name or "")


def _named(stream: Any) -> str:
    """Such as "subtitle subrip fra" or "attachment font.ttf"."""
    codec = stream.codec_context and stream.codec_context.name
    parts = (stream.type, codec, stream.metadata.get("filename"), stream.metadata.get("language"))
    return " ".join(filter(None, parts)) or "unknown stream"


def _holds(av: ModuleType, container: str, stream: Any) -> bool:
    """Whether a container accepts a copy of a stream, by trial: FFmpeg's own lists are incomplete."""
    try:
        with av.open(io.BytesIO(), "w", format=container) as trial:
            trial.add_stream_from_template(stream)
            trial.start_encoding()
    except (av.FFmpegError, ValueError, NotImplementedError):
        return False
    return True


def _tags(holder: Any) -> dict[str, str]:
    """The tags of a film or a stream that describe its content; MP4 calls a stream's title its name."""
    tags = {name: value for name, value in holder.metadata.items() if not _TECHNICAL.fullmatch(name)}
    return {"title" if name.lower() == "name" else name: value for name, value in tags.items()}


def copy_tags(film: Any, result: Any, streams: dict[Any, Any]) -> None:
    """Copy tags and chapters of the film and tags of its streams to the result, which gets our mark."""
    tags = _tags(film)
    name = next((name for name in tags if name.lower() == "comment"), "comment")
    comment = tags.pop(name, "").removeprefix(MARK).strip()
    result.metadata.update(tags, comment=f"{MARK}\n{comment}" if comment else MARK)
    result.set_chapters(film.chapters())
    for stream, copy in streams.items():
        copy.metadata.update(_tags(stream))
        copy.disposition = stream.disposition


def described(*holders: Any) -> set[tuple[str, str]]:
    """Names and values of all tags except the comment, which has our mark, and undefined languages."""
    tags = {(name.lower(), value) for holder in holders for name, value in _tags(holder).items()}
    return {(name, value) for name, value in tags if name != "comment" and value not in ("und", "")}
