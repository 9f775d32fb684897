#!/bin/sh
# Writes the files that the broker must own to /run, which is in memory, and becomes the broker: the ACL, and the password
# file, which is created from the environment and hashed before the broker listens.
set -eu
umask 077
: "${BROKER_PRIMARY_PASSWORD:?must be set}" "${BROKER_EDGE_PASSWORD:?must be set}"
while IFS= read -r line; do
  printf '%s\n' "$line"
done < /mosquitto/config/acl > /run/mosquitto/acl
printf '%s\n' "ostiary-primary:$BROKER_PRIMARY_PASSWORD" "ostiary-edge:$BROKER_EDGE_PASSWORD" > /run/mosquitto/passwords
mosquitto_passwd -U /run/mosquitto/passwords
# The credentials of the health check: every user of the host could read an argument.
printf '%s\n' '-u ostiary-edge' "-P $BROKER_EDGE_PASSWORD" > /run/mosquitto/mosquitto_pub
unset BROKER_PRIMARY_PASSWORD BROKER_EDGE_PASSWORD
exec mosquitto -c /mosquitto/config/mosquitto.conf
