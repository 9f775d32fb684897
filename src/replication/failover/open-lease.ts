/** Opens the lease of the primary in the coordination engine that the setting `failover` names. */
import { readFileSync } from "node:fs";
import type { TlsTexts } from "../../runtime/tls-fetch.ts";
import { AppError } from "../../util/app-error.ts";
import type { System } from "../system.ts";
import { etcdLease } from "./etcd-lease.ts";
import { parseFailoverUrl } from "../../config/failover-url.ts";
import { kubernetesLease } from "./kubernetes-lease.ts";
import type { Lease, LeaseOptions } from "./lease.ts";
import { s3Lease } from "./s3-lease.ts";

/** Throws AppError `conflict` where the options can't be used. Asks the engine nothing yet. */
export function openLease(options: LeaseOptions, system: Pick<System, "fetch" | "clock">): Lease {
  const place = parseFailoverUrl(options.url);
  if ("problem" in place) throw new AppError("conflict", `\`failover\` ${place.problem}`);
  const tls = readTlsTexts(options);
  switch (place.kind) {
    case "etcd":
      return etcdLease(place, options, tls, system);
    case "kubernetes":
      return kubernetesLease(place, options, tls, system);
    case "s3":
      return s3Lease(place, options, tls, system);
  }
}

function readTlsTexts({ ca, cert, key }: LeaseOptions): TlsTexts {
  return { ca: readPem("failoverCa", ca), cert: readPem("failoverCert", cert), key: readPem("failoverKey", key) };
}

function readPem(setting: string, path: string | undefined): string | undefined {
  if (path === undefined) return undefined;
  const refuse = (problem: string): AppError =>
    new AppError("conflict", `the file \`${path}\` of \`${setting}\` ${problem}`);
  let text: string;
  try {
    text = readFileSync(path, "utf8");
  } catch (error) {
    throw refuse(`can't be read (${(error as NodeJS.ErrnoException).code ?? "unknown reason"})`);
  }
  if (!text.includes("-----BEGIN ")) throw refuse("holds nothing in PEM form");
  return text;
}
