#!/bin/sh
# SPDX-License-Identifier: GPL-3.0-or-later
# Make what an old lab server has before gpulab is installed. Files that must not change are listed in /root/was-there.
set -eu
list=/root/was-there
: >"$list"

# keep PATH: write standard input to a file, and list the file.
keep() {
	mkdir -p "$(dirname "$1")"
	cat >"$1"
	echo "$1" >>"$list"
}

# Accounts with other uids than gpulab would choose, a file in a home, and an account that is not requested.
groupadd --gid 1777 chemistry
useradd --uid 1603 --gid chemistry --shell /bin/bash --create-home ada
useradd --uid 1604 --shell /bin/bash --create-home lise
chmod 0700 /home/ada /home/lise
echo 'results of 2019' | keep /home/ada/results.txt
echo 'not for gpulab' | keep /home/lise/notes.txt
chown ada:chemistry /home/ada/results.txt
chown lise:lise /home/lise/notes.txt

# A conda that puts itself first on the PATH of all users, with interpreters python3 and R that do not work.
# A stand-in: the real one comes from a channel. What matters is the directory, its place on PATH and its names.
for name in conda python python3 R Rscript jupyter; do
	printf '#!/bin/sh\necho "this is the %s of conda" >&2\nexit 97\n' "$name" | keep "/opt/conda/bin/$name"
	chmod 0755 "/opt/conda/bin/$name"
done
echo '==> 2021-03-01 10:00:00 <==' | keep /opt/conda/conda-meta/history
# shellcheck disable=SC2016  # to be expanded at login
echo 'PATH=/opt/conda/bin:$PATH' | keep /etc/profile.d/conda.sh

# An old hub at its usual port, under its usual name.
echo "c.JupyterHub.port = 8000" | keep /etc/jupyterhub/jupyterhub_config.py
keep /etc/systemd/system/jupyterhub.service <<'UNIT'
[Unit]
Description=The old hub
[Service]
ExecStart=/usr/bin/python3 -m http.server 8000 --directory /etc/jupyterhub
[Install]
WantedBy=multi-user.target
UNIT
systemctl daemon-reload
systemctl enable --quiet --now jupyterhub.service

# Settings of R, a kernel of the site's own, a limit of the administrator's.
echo '{"argv": ["true"], "display_name": "Octave", "language": "octave"}' |
	keep /usr/local/share/jupyter/kernels/octave/kernel.json
echo '* soft core 0' | keep /etc/security/limits.d/site.conf
# This one is adopted: its lines stay, a block of ours comes after them.
mkdir -p /etc/R
echo 'R_LIBS_SITE=/srv/r-library' >/etc/R/Renviron.site
