"""Films: every picture upscaled at its time, the sound as it was."""

import struct
import sys
from fractions import Fraction
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from skimage import data

from srgan.common.errors import UserError
from srgan.data.resize import imresize
from srgan.networks.generator import Generator
from srgan.upscaling.batch import run
from srgan.upscaling.films import is_film_result, upscale_film
from srgan.upscaling.jobs import Job, find_inputs, plan
from srgan.upscaling.upscaler import Upscaler

av = pytest.importorskip("av", reason="needs PyAV (requirements-dev.txt)")
TIMES = [0, 100, 180, 300, 420]  # ms, at no constant rate


def write_film(path: Path) -> Path:
    """Five pictures of 64 x 48, and 0.8 s of sound."""
    with av.open(str(path), "w") as film:
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


def test_a_phones_upright_film_is_turned(tmp_path: Path) -> None:
    write_film(tmp_path / "a.mp4")
    lying = pictures(tmp_path / "a.mp4")[1][0]
    # The display matrix of the first track, that of the video: a quarter turn clockwise in place of none.
    one, end = 0x10000, struct.pack(">3i", 0, 0, 0x40000000)
    content = (tmp_path / "a.mp4").read_bytes()
    header = content.index(b"tkhd")
    matrix = content.index(struct.pack(">6i", one, 0, 0, 0, one, 0) + end, header)
    turned = struct.pack(">6i", 0, one, 0, -one, 0, 0) + end
    (tmp_path / "a.mp4").write_bytes(content[:matrix] + turned + content[matrix + len(turned) :])
    upscale_film(tmp_path / "a.mp4", tmp_path / "b.mp4", lambda picture: imresize(picture, 4))
    upright = pictures(tmp_path / "b.mp4")[1][0]
    assert upright.shape == (256, 192, 3)
    assert np.abs(imresize(upright, 1 / 4).astype(int) - np.rot90(lying, -1)).mean() < 3


def test_odd_sides(tmp_path: Path) -> None:
    write_film(tmp_path / "a.mp4")
    upscale_film(tmp_path / "a.mp4", tmp_path / "b.mp4", lambda picture: picture[:47, :63].copy())
    assert pictures(tmp_path / "b.mp4")[1][0].shape == (47, 63, 3)


def test_a_film_is_upscaled_if_it_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    film = write_film(tmp_path / "film.mp4")
    with pytest.raises(UserError, match=r"found 1 \.mp4 \(films have to be named\)"):
        find_inputs([str(tmp_path)])
    upscaler = Upscaler(Generator(blocks=1, channels=4))
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
    assert "film_x2.mp4 is there and is no result of this program" in capsys.readouterr().err
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
        with pytest.raises(UserError, match=r'text\.mp4: films need PyAV 14\.1 or newer: pip install "av>=14\.1"'):
            upscale_film(tmp_path / "text.mp4", tmp_path / "b.mp4", lambda picture: picture)
