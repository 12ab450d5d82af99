# SPDX-License-Identifier: GPL-3.0-or-later
"""A user works in the lab with a browser, and an administrator manages it."""

from __future__ import annotations

from tests.integration.browser.pages import Lab, Page

PYTHON_TILE = "Python (TensorFlow, PyTorch)"
PYTHON = """\
import numpy as np, tensorflow as tf, torch
from IPython.display import clear_output
clear_output()  # TensorFlow's messages at its start
m = np.array([[1.5, -3, 5], [2, 4, 6]])
print("TensorFlow", tf.__version__, tf.linalg.matmul(m, m.T).numpy().tolist())
print("PyTorch", torch.__version__, (torch.from_numpy(m) @ torch.from_numpy(m.T)).tolist())"""
# m times its transpose, by hand: 1.5² + 3² + 5², 1.5·2 - 3·4 + 5·6, 2² + 4² + 6².
PRODUCT = "[[36.25, 21.0], [21.0, 56.0]]"

R_TILE = "R"
R = """\
library(reticulate)
tf <- import("tensorflow")
m <- rbind(c(1.5, -3, 5), c(2, 4, 6))
tensor <- tf$constant(m)
tensor
back <- tensor$numpy()
identical(back, m)"""


def test_login_opens_jupyterlab_with_both_languages(lab: Lab) -> None:
    """After the login page comes JupyterLab, with a tile for each kernel."""
    lab.open()
    assert {PYTHON_TILE, R_TILE} <= set(lab.tiles())
    lab.picture("jupyterlab")


def test_python_cell_computes_with_both_frameworks(lab: Lab) -> None:
    """A cell that is typed into a new notebook shows the product as both frameworks compute it."""
    with lab.notebook(PYTHON_TILE) as notebook:
        shown = notebook.run(PYTHON).splitlines()
        lab.picture("python")
    for framework in ("TensorFlow 2.", "PyTorch 2."):
        assert [line for line in shown if line.startswith(framework) and line.endswith(PRODUCT)], shown


def test_r_cell_sends_a_matrix_to_tensorflow_and_gets_it_back(lab: Lab) -> None:
    """A cell in R shows the tensor, row by row, and gets the same matrix back."""
    with lab.notebook(R_TILE) as notebook:
        shown = notebook.run(R)
        lab.picture("r")
    assert "shape=(2, 3), dtype=float64" in shown
    assert "[[ 1.5, -3. ,  5. ],\n       [ 2. ,  4. ,  6. ]]" in shown
    assert shown.splitlines()[-1] == "TRUE"


def test_administrator_sees_running_servers(administrator: Page, lab: Lab) -> None:
    """The admin page lists the user who is logged in, with the server running."""
    administrator.see("tr.user-row")
    rows = [row.text for row in administrator.all("tr.user-row") if lab.user in row.text.split()]
    assert len(rows) == 1
    assert "Stop Server" in rows[0]
    administrator.picture("admin")


def test_ordinary_user_has_no_admin_page(lab: Lab, administrator: Page) -> None:
    """The hub's home page links to it for administrators only, and its address is rejected for other users."""
    for page, links in ((administrator, 1), (lab.page, 0)):
        page.open("/hub/home")
        page.see("#start")
        assert len(page.all("a[href$='/hub/admin']")) == links
    lab.page.open("/hub/admin")
    assert "403" in lab.page.see(".error h1").text
