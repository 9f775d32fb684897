#!/bin/sh
# Puts what the broker wants to own into /run, which is memory, and becomes the broker: the ACL, and the password file, made from the
# environment and hashed before anybody listens.
set -eu
umask 077
while IFS= read -r line; do
  printf '%s\n' "$line"
done < /mosquitto/config/acl > /run/mosquitto/acl
printf '%s\n' "ostiary-primary:$BROKER_PRIMARY_PASSWORD" "ostiary-edge:$BROKER_EDGE_PASSWORD" > /run/mosquitto/passwords
mosquitto_passwd -U /run/mosquitto/passwords
# What the health check logs in with: as an argument everybody on the host could read it.
printf '%s\n' '-u ostiary-edge' "-P $BROKER_EDGE_PASSWORD" > /run/mosquitto/mosquitto_pub
unset BROKER_PRIMARY_PASSWORD BROKER_EDGE_PASSWORD
exec mosquitto -c /mosquitto/config/mosquitto.conf
