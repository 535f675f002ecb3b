"""Films: every picture upscaled at its time, the sound as it was."""

import os
import signal
import struct
import sys
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from PIL import Image
from skimage import data

from srgan.application.batch import run
from srgan.application.films import is_film_result, upscale_film
from srgan.application.jobs import Job, find_inputs, plan
from srgan.application.metadata import MARK
from srgan.common.errors import UserError
from srgan.data.resize import imresize
from srgan.networks.srresnet import SRResNet
from srgan.upscaling.upscaler import Upscaler

av = pytest.importorskip("av", reason="needs PyAV (requirements-dev.txt)")
TIMES = [0, 100, 180, 300, 420]  # ms, at no constant rate


def write_film(path: Path, **options: str) -> Path:
    """Five pictures of 64 x 48, and 0.8 s of sound; the options are those of the container."""
    with av.open(str(path), "w", options=options) as film:
        video, sound = film.add_stream("libx264", rate=10, options={"crf": "10"}), film.add_stream("aac", rate=8000)
        video.width, video.height, video.pix_fmt = 64, 48, "yuv420p"
        video.codec_context.time_base = Fraction(1, 1000)
        photograph = data.astronaut()
        for i, time in enumerate(TIMES):
            picture = np.ascontiguousarray(photograph[8 * i : 8 * i + 48, 100:164])
            frame = av.VideoFrame.from_ndarray(picture, "rgb24")
            frame.pts, frame.time_base = time, Fraction(1, 1000)
            film.mux(video.encode(frame))
        film.mux(video.encode(None))
        wave = 0.3 * np.sin(np.arange(6400) / 5, dtype=np.float32)[None]
        frame = av.AudioFrame.from_ndarray(wave, "fltp", "mono")
        frame.sample_rate, frame.pts, frame.time_base = 8000, 0, Fraction(1, 8000)
        film.mux(sound.encode(frame))
        film.mux(sound.encode(None))
    return path


def write_pictures(film: Any, codec: str, first: int = 0, height: int = 48) -> None:
    """Twelve pictures of 64 x `height`, 25 per second, the first at this number."""
    video = film.add_stream(codec, rate=25)
    video.width, video.height, video.pix_fmt = 64, height, "yuv420p"
    for i in range(12):
        frame = av.VideoFrame.from_ndarray(data.astronaut()[8 * i : 8 * i + height, 100:164].copy(), "rgb24")
        frame.pts, frame.time_base = first + i, Fraction(1, 25)
        film.mux(video.encode(frame))
    film.mux(video.encode(None))


def pictures(path: Path) -> tuple[list[int], list[np.ndarray]]:
    """Times in ms, and uint8 H x W x 3."""
    with av.open(str(path)) as film:
        frames = list(film.decode(video=0))
    return [round(1000 * frame.time) for frame in frames], [frame.to_ndarray(format="rgb24") for frame in frames]


def sound(path: Path) -> list[bytes]:
    with av.open(str(path)) as film:
        return [bytes(packet) for packet in film.demux(audio=0) if packet.size]


@pytest.mark.parametrize(("name", "target"), [("a.mp4", "b.mp4"), ("a.mkv", "b.mkv"), ("a.mp4", "b.mov")])
def test_times_and_sound_are_kept(tmp_path: Path, name: str, target: str) -> None:
    write_film(tmp_path / name)
    upscale_film(tmp_path / name, tmp_path / target, lambda picture: imresize(picture, 4))
    times, results = pictures(tmp_path / target)
    assert times == TIMES
    assert sound(tmp_path / target) == sound(tmp_path / name)
    for picture, result in zip(pictures(tmp_path / name)[1], results, strict=True):
        assert result.shape == (192, 256, 3)
        assert np.abs(imresize(result, 1 / 4).astype(int) - picture).mean() < 3, "lossy twice, and other matrices"


TURNS = {
    "a quarter": ((0, 1, -1, 0), lambda picture: np.rot90(picture, -1)),
    "half": ((-1, 0, 0, -1), lambda picture: np.rot90(picture, 2)),
    "left and right": ((-1, 0, 0, 1), np.fliplr),
    "up and down": ((1, 0, 0, -1), np.flipud),
    "over the diagonal": ((0, 1, 1, 0), lambda picture: picture.swapaxes(0, 1)),
}


@pytest.mark.parametrize(("turn", "upright"), TURNS.values(), ids=TURNS)
def test_a_phones_film_is_turned_upright(tmp_path: Path, turn: tuple[int, ...], upright: Callable) -> None:
    write_film(tmp_path / "a.mp4")
    lying = pictures(tmp_path / "a.mp4")[1][0]
    write_turn(tmp_path / "a.mp4", *turn)
    upscale_film(tmp_path / "a.mp4", tmp_path / "b.mp4", lambda picture: imresize(picture, 4))
    result = imresize(pictures(tmp_path / "b.mp4")[1][0], 1 / 4).astype(int)
    assert np.abs(result - upright(lying)).mean() < 3


def write_turn(path: Path, *turn: float) -> None:
    """Change the display matrix of the first track, that of the video; before it is that of no turn."""
    content = path.read_bytes()
    old, new = (
        struct.pack(">5i", *(round(x * 0x10000) for x in (a, b, 0, c, d))) for a, b, c, d in ((1, 0, 0, 1), turn)
    )
    start = content.index(old, content.index(b"tkhd"))
    path.write_bytes(content[:start] + new + content[start + len(new) :])


def test_other_angles_are_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_turn(write_film(tmp_path / "a.mp4"), 0.99, 0.14, -0.14, 0.99)
    upscale_film(tmp_path / "a.mp4", tmp_path / "b.mp4", lambda picture: picture)
    assert "a.mp4: turned by -8 degrees: rounded to a multiple of 90" in capsys.readouterr().err
    assert pictures(tmp_path / "b.mp4")[1][0].shape == (48, 64, 3)


def test_odd_sides(tmp_path: Path) -> None:
    write_film(tmp_path / "a.mp4")
    upscale_film(tmp_path / "a.mp4", tmp_path / "b.mp4", lambda picture: picture[:47, :63].copy())
    assert pictures(tmp_path / "b.mp4")[1][0].shape == (47, 63, 3)


def write_rich_film(path: Path) -> Path:
    """Twenty pictures of 48 x 40 with sound, subtitles and an attachment (Matroska), chapters, titles and languages."""
    subtitles = path.with_suffix(".srt")
    subtitles.write_text("1\n00:00:00,000 --> 00:00:00,900\nHello\n\n2\n00:00:01,000 --> 00:00:01,900\nBye\n\n")
    with av.open(str(path), "w") as film, av.open(str(subtitles)) as texts:
        video = film.add_stream("libx264" if path.suffix != ".wmv" else "wmv2", rate=10)
        video.width, video.height, video.pix_fmt = 48, 40, "yuv420p"
        sound = film.add_stream("aac" if path.suffix != ".wmv" else "wmav2", rate=44100, layout="stereo")
        sound.bit_rate = 128_000
        video.metadata["language"], sound.metadata["language"], sound.metadata["title"] = "fra", "deu", "Ton"
        copies = {}
        if path.suffix == ".mkv":
            copies = {texts.streams[0]: film.add_stream_from_template(texts.streams[0])}
            copies[texts.streams[0]].metadata["language"] = "ita"
            film.add_attachment("font.ttf", "application/x-truetype-font", b"a font")
        film.metadata.update({"title": "My film", "comment": "by the lake", "director": "Ada"})
        second = {"time_base": Fraction(1, 1000), "id": 1}
        film.set_chapters(
            [second | {"start": 1000 * i, "end": 1000 * i + 1000, "metadata": {"title": f"Part {i}"}} for i in (0, 1)]
        )
        for i in range(20):
            frame = av.VideoFrame.from_ndarray(np.full((40, 48, 3), 90 + 5 * i, np.uint8), "rgb24")
            frame.pts, frame.time_base = i, Fraction(1, 10)
            film.mux(video.encode(frame))
        wave = np.sin((np.arange(88200, dtype=np.float32) / 1500) ** 2)  # no two parts alike
        frame = av.AudioFrame.from_ndarray(np.stack([wave, wave]), "fltp", "stereo")
        frame.sample_rate, frame.pts, frame.time_base = 44100, 0, Fraction(1, 44100)
        film.mux([*video.encode(None), *sound.encode(frame), *sound.encode(None)])
        for packet in texts.demux():
            if copies and packet.dts is not None:
                packet.stream = copies[packet.stream]
                film.mux(packet)
    return path


def described(path: Path) -> dict[str, object]:
    with av.open(str(path)) as film:
        streams = [stream for stream in film.streams if stream.discard.name != "all"]
        tags = {name.lower(): value for name, value in film.metadata.items()}
        return {
            "streams": [stream.type for stream in streams],
            "languages": [stream.metadata.get("language") for stream in streams],
            "title": tags.get("title"),
            "comment": tags["comment"],
            "director": tags.get("director"),
            "chapters": [chapter["metadata"]["title"] for chapter in film.chapters()],
        }


def test_all_that_is_in_a_matroska_film_stays_in_one(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source = write_rich_film(tmp_path / "a.mkv")
    upscale_film(source, tmp_path / "b.mkv", lambda picture: imresize(picture, 2))
    assert described(tmp_path / "b.mkv") == {
        "streams": ["video", "audio", "subtitle", "attachment"],
        "languages": ["fra", "deu", "ita", None],
        "title": "My film",
        "comment": f"{MARK}\nby the lake",
        "director": "Ada",
        "chapters": ["Part 0", "Part 1"],
    }
    assert is_film_result(tmp_path / "b.mkv")
    for path in (source, tmp_path / "b.mkv"):
        with av.open(str(path)) as film:
            packets = [(packet.pts, bytes(packet)) for packet in film.demux(subtitles=0) if packet.size]
            assert packets == [(0, b"Hello"), (1000, b"Bye")]
    assert "warning" not in capsys.readouterr().err
    upscale_film(tmp_path / "b.mkv", tmp_path / "c.mkv", lambda picture: picture)
    assert described(tmp_path / "c.mkv")["comment"] == f"{MARK}\nby the lake"


@pytest.mark.parametrize("suffix", [".mp4", ".mov"])
def test_what_a_container_does_not_hold_is_named(
    tmp_path: Path, suffix: str, capsys: pytest.CaptureFixture[str]
) -> None:
    upscale_film(write_rich_film(tmp_path / "a.mkv"), tmp_path / f"b{suffix}", lambda picture: picture)
    message = capsys.readouterr().err
    assert f"{suffix} doesn't hold its subtitle srt ita; attachment font.ttf, .mkv might: left out" in message
    assert "doesn't hold its director" in message
    found = described(tmp_path / f"b{suffix}")
    assert found["streams"] == ["video", "audio"]
    assert (found["title"], found["chapters"]) == ("My film", ["Part 0", "Part 1"])


def test_chapters_and_languages_of_an_mp4_stay_in_one(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    upscale_film(write_rich_film(tmp_path / "a.mp4"), tmp_path / "b.mp4", lambda picture: picture)
    found = described(tmp_path / "b.mp4")
    assert (found["languages"], found["chapters"]) == (["fra", "deu"], ["Part 0", "Part 1"])
    assert "warning" not in capsys.readouterr().err


def test_sound_that_no_container_holds_becomes_aac(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    upscale_film(write_rich_film(tmp_path / "a.wmv"), tmp_path / "b.mkv", lambda picture: picture)
    assert ".mkv doesn't hold sound as wmav2: it becomes AAC" in capsys.readouterr().err
    waves = []
    for name in ("a.wmv", "b.mkv"):
        with av.open(str(tmp_path / name)) as film:
            assert film.streams.audio[0].metadata["language"] == "ger"
            waves.append(np.concatenate([frame.to_ndarray()[0] for frame in film.decode(audio=0)]))
    assert np.corrcoef(waves[0][5000:80000], waves[1][5000:80000])[0, 1] > 0.99, "no sample late"


def test_sound_without_compression_or_a_layout(tmp_path: Path) -> None:
    """Matroska doesn't say that two channels are left and right, MP4 has to."""
    with av.open(str(tmp_path / "a.mkv"), "w") as film:
        video, sound = film.add_stream("ffv1", rate=10), film.add_stream("pcm_s16le", rate=8000, layout="stereo")
        video.width, video.height, video.pix_fmt = 64, 48, "yuv420p"
        for packet in (*video.encode(av.VideoFrame(64, 48, "yuv420p")), *video.encode(None)):
            film.mux(packet)
        frame = av.AudioFrame.from_ndarray(np.arange(1600, dtype=np.int16)[None], "s16", "stereo")
        frame.sample_rate, frame.pts = 8000, 0
        film.mux(sound.encode(frame))
    upscale_film(tmp_path / "a.mkv", tmp_path / "b.mp4", lambda picture: picture)
    with av.open(str(tmp_path / "b.mp4")) as film:
        assert film.streams.audio[0].codec_context.name == "pcm_s16le"
        samples = np.concatenate([frame.to_ndarray()[0] for frame in film.decode(audio=0)])
    assert np.array_equal(samples, np.arange(1600))


CAMERAS = {
    "a.mpg": "mpeg2video",
    "a.mpeg": "mpeg1video",
    "a.m1v": "mpeg1video",
    "a.ts": "libx264",
    "a.m2ts": "libx264",
    "a.vob": "mpeg2video",
    "a.flv": "flv",
    "a.wmv": "wmv2",
    "a.avi": "mpeg4",
    "a.3gp": "mpeg4",
}


@pytest.mark.parametrize(("name", "codec"), CAMERAS.items(), ids=CAMERAS)
def test_films_of_cameras_and_broadcasters(tmp_path: Path, name: str, codec: str) -> None:
    with av.open(str(tmp_path / name), "w") as film:
        video = film.add_stream(codec, rate=25)
        video.width, video.height, video.pix_fmt = 64, 48, "yuv420p"
        for i in range(3):
            frame = av.VideoFrame.from_ndarray(np.full((48, 64, 3), 90 + 30 * i, np.uint8), "rgb24")
            frame.pts, frame.time_base = i, Fraction(1, 25)
            film.mux(video.encode(frame))
        film.mux(video.encode(None))
    (job,) = plan(find_inputs([str(tmp_path / name)]).files, tmp_path, 2)
    assert job.target.suffix == (".mov" if name == "a.3gp" else ".mkv")
    upscale_film(job.source, job.target, lambda picture: imresize(picture, 2))
    times, results = pictures(job.target)
    assert [result.shape for result in results] == [(96, 128, 3)] * 3
    assert np.abs([result.mean() for result in results] - np.array([90, 120, 150])).max() < 6
    assert times[-1] - times[0] in (80, 120), "AVI's first frame may have two slots"


def test_an_interlaced_film_and_deep_pictures_are_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    options = {"flags": "+ilme+ildct", "x264-params": "tff=1:interlaced=1"}
    for pixels, name in (("yuv420p", "a.ts"), ("yuv420p10le", "b.mkv")):
        with av.open(str(tmp_path / name), "w") as film:
            video = film.add_stream("libx264", rate=25, options=options if name == "a.ts" else {})
            video.width, video.height, video.pix_fmt = 64, 48, pixels
            frame = av.VideoFrame.from_ndarray(np.full((48, 64, 3), 90, np.uint8), "rgb24")
            film.mux([*video.encode(frame), *video.encode(None)])
        upscale_film(tmp_path / name, tmp_path / "out.mkv", lambda picture: picture)
    message = capsys.readouterr().err
    assert "a.ts: interlaced: moving objects have combs, which would be upscaled; deinterlace it first" in message
    assert "b.mkv: pictures of 10 bits become 8-bit" in message


@pytest.mark.parametrize("suffix", [".gif", ".webp"])
def test_a_film_becomes_no_animation(tmp_path: Path, suffix: str) -> None:
    film = write_film(tmp_path / "film.mp4")
    with pytest.raises(UserError, match=rf"--format {suffix[1:]}: .*film\.mp4 is a film, and becomes one: \.mp4 \.mkv"):
        plan(find_inputs([str(film)]).files, tmp_path, 2, suffix)


def test_a_film_is_upscaled_if_it_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    film = write_film(tmp_path / "film.mp4")
    with pytest.raises(UserError, match=r"found 1 \.mp4 \(films have to be named\)"):
        find_inputs([str(tmp_path)])
    upscaler = Upscaler(SRResNet(blocks=1, channels=4))
    jobs = plan(find_inputs([str(film)]).files, tmp_path, 2, ".jpg")
    assert jobs == [Job(film, tmp_path / "film_x2.mp4")]
    assert run(lambda _: upscaler, jobs, 2, page=tmp_path / "compare.html") == 0
    assert pictures(tmp_path / "film_x2.mp4")[1][0].shape == (96, 128, 3)
    assert not (tmp_path / "compare.html").exists()
    assert is_film_result(tmp_path / "film_x2.mp4")
    assert not is_film_result(film)
    assert plan(find_inputs([str(tmp_path / "*.mp4")]).files, tmp_path, 2) == jobs, "its result is not upscaled again"
    (tmp_path / "film_x2.mp4").write_bytes(film.read_bytes())
    assert run(lambda _: upscaler, jobs, 2) == 1
    assert "film_x2.mp4 exists and is not a result of this program" in capsys.readouterr().err
    with pytest.raises(UserError, match=r"ends in one of \.mp4 \.mkv \.mov"):
        plan(find_inputs([str(film)]).files, tmp_path / "film.png", 4)


def test_mistakes_are_one_line_and_leave_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "text.mp4").write_text("no film")
    film = write_film(tmp_path / "cut.mkv")
    film.write_bytes(film.read_bytes()[:700])
    for name in ("text.mp4", "cut.mkv", "missing.mp4"):
        with pytest.raises(UserError, match=name):
            upscale_film(tmp_path / name, tmp_path / "out" / "b.mp4", lambda picture: picture)
    assert not list((tmp_path / "out").iterdir())
    for missing_or_old in (None, SimpleNamespace(VideoFrame=object)):
        monkeypatch.setitem(sys.modules, "av", missing_or_old)
        with pytest.raises(UserError, match=r'text\.mp4: films need PyAV 16 or newer: pip install "av>=16"'):
            upscale_film(tmp_path / "text.mp4", tmp_path / "b.mp4", lambda picture: picture)


@pytest.mark.parametrize("share", [0.75, 0.5, 0.3])
@pytest.mark.parametrize("name", ["a.mp4", "a.mov", "a.mkv", "a.avi"])
def test_a_film_that_is_cut_off_is_refused_before_the_work(tmp_path: Path, name: str, share: float) -> None:
    if name == "a.avi":
        with av.open(str(tmp_path / name), "w") as film:
            video = film.add_stream("mpeg4", rate=10)
            video.width, video.height = 64, 48
            for _ in range(10):
                film.mux(video.encode(av.VideoFrame.from_ndarray(data.astronaut()[:48, :64], "rgb24")))
            film.mux(video.encode(None))
    else:
        write_film(tmp_path / name, **({} if name == "a.mkv" else {"movflags": "faststart"}))
    content = (tmp_path / name).read_bytes()
    upscale_film(tmp_path / name, tmp_path / "b.mkv", lambda picture: picture)
    (tmp_path / name).write_bytes(content[: int(share * len(content))])
    with pytest.raises(UserError, match=rf"{name}: (expected .*: the file is cut off|can't be upscaled as a film)"):
        upscale_film(tmp_path / name, tmp_path / "c.mkv", lambda picture: pytest.fail("begun"))
    assert not (tmp_path / "c.mkv").exists()


def test_a_film_that_begins_late_is_whole(tmp_path: Path) -> None:
    """As one cut from a longer one: the length in its header counts from 0."""
    with av.open(str(tmp_path / "a.mkv"), "w") as film:
        write_pictures(film, "libx264", first=125)
    upscale_film(tmp_path / "a.mkv", tmp_path / "b.mkv", lambda picture: picture)
    assert pictures(tmp_path / "b.mkv")[0] == [5000 + 40 * i for i in range(12)]


def test_films_joined_byte_by_byte_are_named(tmp_path: Path) -> None:
    for name, side in (("a.m2v", 48), ("b.m2v", 32), ("c.ts", 48)):
        with av.open(str(tmp_path / name), "w") as film:
            write_pictures(film, "libx264" if name == "c.ts" else "mpeg2video", height=side)
    a, b, c = ((tmp_path / name).read_bytes() for name in ("a.m2v", "b.m2v", "c.ts"))
    (tmp_path / "sizes.m2v").write_bytes(a + b)
    (tmp_path / "times.ts").write_bytes(c + c)
    with pytest.raises(
        UserError, match=r"sizes\.m2v: its pictures change their size at .* s, to 64 x 32: cut it there"
    ):
        upscale_film(tmp_path / "sizes.m2v", tmp_path / "d.mkv", lambda picture: picture)
    with pytest.raises(UserError, match=r"times\.ts: its time goes back from 0\.4 s to 0\.0 s: cut it there"):
        upscale_film(tmp_path / "times.ts", tmp_path / "d.mkv", lambda picture: pytest.fail("begun"))


def test_damage_that_is_decoded_nevertheless_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with av.open(str(tmp_path / "a.m2v"), "w") as film:
        write_pictures(film, "mpeg2video")
    content = (tmp_path / "a.m2v").read_bytes()
    (tmp_path / "a.m2v").write_bytes(content[:600] + b"\xaa" * 8 + content[608:])
    upscale_film(tmp_path / "a.m2v", tmp_path / "b.mkv", lambda picture: picture)
    assert "a.m2v: 1 of its pictures are damaged" in capsys.readouterr().err
    write_film(tmp_path / "c.mp4", movflags="frag_keyframe+empty_moov")
    content = (tmp_path / "c.mp4").read_bytes()
    (tmp_path / "c.mp4").write_bytes(content[: len(content) * 3 // 4])
    upscale_film(tmp_path / "c.mp4", tmp_path / "d.mp4", lambda picture: picture)
    assert "c.mp4: 1 of its packets are damaged, or it is cut off: upscaled as far" in capsys.readouterr().err


@pytest.mark.skipif(sys.platform == "win32", reason="no pipes of this kind")
def test_a_pipe_is_no_film(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "f.mp4")
    with pytest.raises(UserError, match=r"f\.mp4: expected a film, found a folder or a device"):
        upscale_film(tmp_path / "f.mp4", tmp_path / "b.mp4", lambda picture: pytest.fail("begun"))
    os.mkfifo(tmp_path / "f_x4.mp4")
    assert not is_film_result(tmp_path / "f_x4.mp4")


@pytest.mark.skipif(sys.platform == "win32", reason="no colons in names")
@pytest.mark.parametrize(
    "name", ["file:a.mp4", "http:a.mp4", "concat:a.mp4|b.mp4", "pipe:0.mp4", "-a%d.mp4", "a\nb.mp4"]
)
def test_names_that_mean_something_to_ffmpeg(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.chdir(tmp_path)
    write_film(tmp_path / "a.mp4").rename(name)
    target = Path("tcp:out") / f"{name}.mp4"
    upscale_film(Path(name), target, lambda picture: picture)
    assert pictures(tmp_path / target)[0] == TIMES
    assert is_film_result(target)


@pytest.mark.skipif(sys.platform == "win32", reason="no limits of this kind")
def test_a_full_disk_is_the_results_fault(tmp_path: Path) -> None:
    import resource

    film = write_film(tmp_path / "a.mp4")
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (3000, limits[1]))
    try:
        with pytest.raises(UserError, match=r"b\.mp4: can't be written: File too large"):
            upscale_film(film, tmp_path / "b.mp4", lambda picture: imresize(picture, 4))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        signal.signal(signal.SIGXFSZ, handler)
    assert list(tmp_path.iterdir()) == [film]


def write_with_cover(path: Path, *codecs: str) -> Path:
    """A second of sound or pictures by each codec, and a cover picture."""
    with av.open(str(path), "w") as film:
        streams = [film.add_stream(codec, rate=25 if codec == "libx264" else 8000) for codec in codecs]
        cover = film.add_stream("mjpeg")
        cover.width, cover.height, cover.pix_fmt = 64, 48, "yuvj420p"
        cover.disposition = av.stream.Disposition.attached_pic
        for stream in streams:
            if stream.type == "video":
                stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        picture = av.VideoFrame.from_ndarray(data.astronaut()[:48, :64].copy(), "rgb24")
        film.mux([*cover.encode(picture.reformat(format="yuvj420p")), *cover.encode(None)])
        for stream in streams:
            frame = picture
            if stream.type == "audio":
                frame = av.AudioFrame.from_ndarray(np.zeros((1, 1024), np.float32), "fltp", "mono")
                frame.sample_rate = 8000
            film.mux([*stream.encode(frame), *stream.encode(None)])
    return path


def test_what_is_no_film(tmp_path: Path) -> None:
    Image.fromarray(data.astronaut()[:48, :64]).save(tmp_path / "picture.png")
    (tmp_path / "picture.png").rename(tmp_path / "picture.mp4")
    write_with_cover(tmp_path / "song.mp4", "aac")
    for name, found in (("picture.mp4", "found a picture: give it"), ("song.mp4", "found no video in it")):
        with pytest.raises(UserError, match=f"{name}: expected a film, {found}"):
            upscale_film(tmp_path / name, tmp_path / "b.mp4", lambda picture: picture)


def test_videos_besides_the_main_one_are_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_with_cover(tmp_path / "a.mp4", "libx264", "libx264")
    upscale_film(tmp_path / "a.mp4", tmp_path / "b.mp4", lambda picture: picture)
    message = capsys.readouterr().err
    assert "a.mp4: only its main video is upscaled; left out: video h264 und, a cover picture" in message
    assert "doesn't hold" not in message


def test_sound_that_never_comes_is_left_out(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Broadcasts announce more sound than they send, and FFmpeg knows no channels of it."""
    with av.open(str(tmp_path / "a.ts"), "w") as film:
        film.add_stream("aac", rate=8000)
        write_pictures(film, "libx264")
    upscale_film(tmp_path / "a.ts", tmp_path / "b.mkv", lambda picture: picture)
    assert len(pictures(tmp_path / "b.mkv")[0]) == 12
    assert "doesn't hold its audio aac: left out" in capsys.readouterr().err


def test_sides_that_h264_does_not_have(tmp_path: Path) -> None:
    film = write_film(tmp_path / "a.mp4")
    with pytest.raises(UserError, match=r"a\.mp4: expected sides of at most 16384 pixels, found 16386 x 2"):
        upscale_film(film, tmp_path / "b.mp4", lambda _: np.zeros((2, 16386, 3), np.uint8))
