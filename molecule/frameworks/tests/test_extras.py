# SPDX-License-Identifier: GPL-3.0-or-later
"""Extra packages: they are part of the release, and packages that do not fit are rejected."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.support.lab import Lab

ROOT = "/opt/gpulab/envs/gpu/current"
LOCKS = Path(__file__).parent / "locks"
MAP = """
import json, tempfile
import geopandas, numpy, rasterio
from rasterio.transform import from_origin
from shapely.geometry import Point
with tempfile.TemporaryDirectory() as directory:
    place = {"driver": "GTiff", "width": 4, "height": 2, "count": 1, "dtype": "int32", "crs": "EPSG:32632"}
    with rasterio.open(f"{directory}/a.tif", "w", transform=from_origin(500000, 5600000, 10, 10), **place) as picture:
        picture.write(numpy.arange(8, dtype="int32").reshape(1, 2, 4))
    with rasterio.open(f"{directory}/a.tif") as picture:
        total, corner = int(picture.read(1).sum()), picture.bounds.top
    places = geopandas.GeoDataFrame({"n": [1]}, geometry=[Point(9, 50)], crs="EPSG:4326").to_crs("EPSG:32632")
    places.to_file(f"{directory}/b.gpkg")
    back = geopandas.read_file(f"{directory}/b.gpkg")
print(json.dumps({"gdal": rasterio.__gdal_version__, "sum": total, "top": corner, "x": round(back.geometry[0].x)}))
"""


def test_geo_reads_and_writes_maps(host: Any) -> None:
    """The wheels contain GDAL and PROJ: a picture and a table are written and read with their coordinates."""
    result = json.loads(host.check_output(f"{ROOT}/bin/python -W ignore -c %s", MAP).splitlines()[-1])
    assert result["gdal"].startswith("3.")
    assert (result["sum"], result["top"], result["x"]) == (28, 5600000.0, 500000)
    assert host.run("dpkg -l libgdal32 libgdal36").rc != 0


def test_set_is_part_of_the_release(host: Any) -> None:
    """The record of the release has both, so that a rollback switches both back."""
    versions = json.loads(host.file(f"{ROOT}/.gpulab-release.json").content_string)["versions"]
    assert {"torch", "rasterio", "geopandas"} <= set(versions)


def rejection(lab: Lab, *requested: str) -> str:
    """Converge with extra packages that cannot be installed and return the output."""
    outcome = lab.play("molecule/frameworks/extras.yml", requested_packages=requested)
    assert outcome.code != 0, outcome.text[-2000:]
    assert "changed=0" in outcome.text
    assert "Traceback" not in outcome.text
    return str(outcome.text)


@pytest.mark.parametrize(
    ("requested", "words"),
    [
        ("maps", "unknown set maps; choose from geo, nlp, vision"),
        ("/nonexistent/own.txt", "/nonexistent/own.txt does not exist on the controller"),
        (str(LOCKS / "unhashed.txt"), "unhashed.txt, line 5: idna==3.10 has no hash"),
    ],
)
def test_wrong_extra_packages_are_rejected_before_any_change(lab: Lab, requested: str, words: str) -> None:
    """One message that names the entry and the fix."""
    assert words in rejection(lab, requested)


@pytest.mark.parametrize(
    ("extra", "words"),
    [
        ("second", "you require six==1.16.0 and six==1.17.0"),
        ("needs", "The package `python-dateutil` requires `six>=1.5`, but it's not installed"),
    ],
)
def test_packages_that_do_not_fit_the_lock_are_rejected_with_uvs_message(lab: Lab, extra: str, words: str) -> None:
    """Another version of a locked package, and one with a missing requirement; no release becomes current."""
    path = "/opt/gpulab/envs/misfit"
    lock = LOCKS / ("first.txt" if extra == "second" else "other.txt")
    options = json.dumps({"path": path, "lock": str(lock), "extras": [str(LOCKS / f"{extra}.txt")]})
    done = lab.ansible("ansible", lab.host, "-m", "gpulab.core.locked_environment", "-a", options)
    assert done.returncode != 0
    output = " ".join(done.stdout.replace("\\n", " ").split())
    assert words in output, output
    assert "do not fit the lock" in output
    assert "current" not in lab.shell(f"ls {path} && rm -r {path}")
