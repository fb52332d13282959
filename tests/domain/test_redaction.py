"""What is shown of an address, and of a text of a library that may contain one."""

from __future__ import annotations

import pytest

from hivewatch.domain.redaction import public_name, redact, summary

WORD = "GEHEIM123"


@pytest.mark.parametrize(
    ("source", "name"),
    [
        ("rtsp://keeper:GEHEIM123@10.0.0.9:554/s", "rtsp://10.0.0.9:554"),
        ("rtsp://keeper:GEH@EIM123@hive.local/s", "rtsp://hive.local"),
        ("rtsp://10.0.0.9/user=admin_password=GEHEIM123", "rtsp://10.0.0.9"),
        ("http://10.0.0.9/cam?pwd=GEHEIM123#GEHEIM123", "http://10.0.0.9"),
        ("rtsp://[fe80::1]:554/GEHEIM123", "rtsp://[fe80::1]:554"),
        ("http://10.0.0.9/cam?user=keeper&pwd=GEH@EIM123", "http://..."),
        ("rtsp://keeper:GEHEIM123/x@10.0.0.9/s", "rtsp://..."),
        ("rtsp://keeper:12/GEHEIM123@10.0.0.9/s", "rtsp://..."),
        ("rtsp://keeper:x@GEHEIM123/x@10.0.0.9/s", "rtsp://..."),
        ("rtsp://keeper:GEHEIM123", "rtsp://..."),
        ("keeper:GEHEIM123://10.0.0.9", "..."),
        ("GEHEIM123://10.0.0.9", "..."),
        ("keeper:GEHEIM123@10.0.0.9/s", "..."),
        ("rtsp:/keeper:GEHEIM123@10.0.0.9/s", "..."),
        ("/dev/video0", "/dev/video0"),
        ("/srv/clip.mp4", "/srv/clip.mp4"),
    ],
)
def test_a_name_has_scheme_host_and_port_or_less(source: str, name: str) -> None:
    assert public_name(source) == name


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("[rtsp @ 0x5] rtsp://k:GEHEIM123@10.0.0.9/s: 401", "[rtsp @ 0x5] rtsp://10.0.0.9: 401"),
        ("cannot open 'http://k:GEH'EIM123@h/s' (-5)", "cannot open 'http://h' (-5)"),
        ("no such file: k:GEHEIM123@10.0.0.9/s", "no such file: ..."),
        ("rtsp://10.0.0.9:554: it cannot be opened", "rtsp://10.0.0.9:554: it cannot be opened"),
        ("write rtsp://user:password@host/path", "write rtsp://user:password@host/path"),
        ("like rtsp://user:password@192.168.1.20/path", "like rtsp://user:password@192.168.1.20/path"),
        ("rtsp://keeper:GEHEIM123@192.168.1.20/path", "rtsp://192.168.1.20"),
        ("rtsp://user:password@x:GEHEIM123@h/s", "rtsp://h"),
        ("rtsp%3a%2F%2Fkeeper%3AGEHEIM123%40h", "..."),
        ("keeper:GEHEIM123%40h", "..."),
        ("@keeper:GEHEIM123@h", "..."),
        ("80%40 is no address, nor is a%40b", "80%40 is no address, nor is a%40b"),
        ("copy it to pi@10.0.0.9:/home/pi at 21:00", "copy it to pi@10.0.0.9:/home/pi at 21:00"),
        (r"C:\bees\a.jpg: [[0.1, 0.3], [0.9, 0.3]]", r"C:\bees\a.jpg: [[0.1, 0.3], [0.9, 0.3]]"),
        ("without mqtt:// and (mqtts://)", "without mqtt:// and (mqtts://)"),
        ("restart hivewatch@north at 12:30", "restart hivewatch@north at 12:30"),
        ("/etc/hivewatch/hive@north.yaml:3: mqtt.port: x", "/etc/hivewatch/hive@north.yaml:3: mqtt.port: x"),
    ],
)
def test_a_text_keeps_everything_but_the_secrets(text: str, shown: str) -> None:
    assert redact(text) == shown


def test_an_error_is_named_without_the_data_it_failed_on() -> None:
    with pytest.raises(UnicodeDecodeError) as caught:
        f"{WORD}ä".encode("latin-1").decode("utf-8")
    assert WORD in repr(caught.value)
    assert summary(caught.value).startswith("UnicodeDecodeError: 'utf-8' codec can't decode byte")
    assert WORD not in summary(caught.value)
