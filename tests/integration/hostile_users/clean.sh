#!/bin/sh
# SPDX-License-Identifier: GPL-3.0-or-later
# End whatever hostile users run and remove whatever they have left: clean.sh GROUP NAME...
set -u
group=$1
shift
for name; do
	uid=$(id -u "$name") || continue
	for _ in 1 2 3 4 5; do
		pkill -KILL -u "$name" || break
		sleep 0.2
	done
	timeout 60 systemctl stop "gpulab-server@$uid" "user@$uid"
	pkill -KILL -u "$name"
	crontab -r -u "$name" 2>/dev/null
	find /var/spool/cron/atjobs -type f -user "$name" -delete
	for table in shm:8:-m msg:8:-q sem:5:-s; do
		rest=${table#*:}
		awk -v uid="$uid" -v column="${rest%:*}" -v option="${rest#*:}" '$column == uid {print option, $2}' \
			"/proc/sysvipc/${table%%:*}" | xargs -r -n 500 ipcrm
	done
	for directory in /tmp /var/tmp /dev/shm /dev/mqueue /run/lock /run/screen "/srv/shared/$group" /var/lib/gpulab/sessions; do
		[ ! -d "$directory" ] || find "$directory" -xdev -depth -mindepth 1 -user "$name" -delete
	done
	find "/home/$name" -xdev -depth -mindepth 1 -delete
	cp -rT /etc/skel "/home/$name"
	chown -hR "$name:" "/home/$name"
	chmod 700 "/home/$name"
	rm -f "/var/lib/gpulab/homes/$name-"*
done
rm -rf --one-file-system /home/.gpulab-leaving
systemctl reset-failed
exit 0
