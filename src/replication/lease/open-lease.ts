/** Opens the lease of the primary in the coordination service that the setting `failover` names. */
import { AppError } from "../../util/app-error.ts";
import type { System } from "../system.ts";
import { etcdLease } from "./etcd-lease.ts";
import { type LeaseLocation, parseFailoverUrl } from "../../config/failover-url.ts";
import { kubernetesLease } from "./kubernetes-lease.ts";
import type { Lease, LeaseOptions } from "./lease.ts";
import { renewedTlsFiles } from "../renewed-tls-files.ts";
import { s3Lease } from "./s3-lease.ts";

/** Throws AppError `conflict` if the options cannot be used. Sends no request to the service yet. */
export function openLease(options: LeaseOptions, system: Pick<System, "fetch" | "clock">): Lease {
  const location = parseFailoverUrl(options.url);
  if ("problem" in location) throw new AppError("conflict", `\`failover\` ${location.problem}`);
  const place = locationOf(location, options.hostedEnvironment);
  const paths = { ca: options.ca, cert: options.cert, key: options.key };
  switch (place.kind) {
    case "etcd":
      return etcdLease(place, options, renewedTlsFiles("failover", paths), system);
    case "kubernetes":
      return kubernetesLease(place, options, paths, system);
    case "s3":
      return s3Lease(place, options, renewedTlsFiles("failover", paths), system);
  }
}

function locationOf(location: LeaseLocation, hostedEnvironment: string | undefined): LeaseLocation {
  if (hostedEnvironment === undefined) return location;
  const suffix = `-${hostedEnvironment}`;
  switch (location.kind) {
    case "etcd":
      return { ...location, prefix: location.prefix + suffix };
    case "kubernetes":
      return { ...location, name: location.name + suffix };
    case "s3":
      return { ...location, key: location.key + suffix };
  }
}
