#!/bin/sh
# Makes the password file from the environment (hashed; the plain text never touches a disk, /run is memory) and becomes the broker.
set -eu
umask 077
passwords=/run/mosquitto/passwords
printf '%s\n' "ostiary-primary:$BROKER_PRIMARY_PASSWORD" "ostiary-edge:$BROKER_EDGE_PASSWORD" > "$passwords"
mosquitto_passwd -U "$passwords"
unset BROKER_PRIMARY_PASSWORD BROKER_EDGE_PASSWORD
exec mosquitto -c /mosquitto/config/mosquitto.conf
