/** The setting `failover`: the URL at which a coordination service keeps the lease of the primary. */

export interface EtcdLocation {
  readonly kind: "etcd";
  readonly protocol: "http" | "https";
  /** With their ports. */
  readonly hosts: readonly string[];
  readonly prefix: string;
}

export interface KubernetesLocation {
  readonly kind: "kubernetes";
  /** `http://host:port` or `https://host:port`; undefined for the API server of the pod's cluster. */
  readonly server: string | undefined;
  readonly namespace: string;
  readonly name: string;
}

export interface S3Location {
  readonly kind: "s3";
  readonly bucket: string;
  readonly key: string;
  /** `https://host:port`; undefined for AWS. */
  readonly endpoint: string | undefined;
  readonly region: string;
}

export type LeaseLocation = EtcdLocation | KubernetesLocation | S3Location;
type Parsed<Location> = Location | { readonly problem: string };

const host = /^(?:[\w.-]+|\[[\da-fA-F:.]+\])(?::\d{1,5})?$/;
/** A DNS label; the name of a Lease object has one or more. */
const label = "[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?";
const namespacePattern = new RegExp(`^${label}$`);
const namePattern = new RegExp(`^${label}(?:\\.${label})*$`);
const bucketPattern = /^[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]$/;
const keyPattern = /^[\w.-]+(?:\/[\w.-]+)*$/;
const defaultRegion = "us-east-1";

/** The problem of a URL, as the end of a sentence that begins with the name of the setting. */
export function failoverUrlProblem(url: string): string | undefined {
  const location = parseFailoverUrl(url);
  return "problem" in location ? location.problem : undefined;
}

/** A problem never repeats the URL, which can contain a password. */
export function parseFailoverUrl(url: string): Parsed<LeaseLocation> {
  const [, scheme = "", authority = "", path = "", query = ""] =
    /^([a-z0-9+]+):\/\/([^/?#]*)\/?([^?#]*)(?:\?([^#]*))?$/.exec(url) ?? [];
  if (scheme === "") return { problem: "is not a URL such as `etcd://host:2379`" };
  if (url.includes("@"))
    return { problem: "must not contain a user or a password: use `failoverUsername` and `failoverPassword`" };
  if (query !== "" && scheme !== "s3") return { problem: "must not have a query" };
  switch (scheme) {
    case "etcd":
    case "etcds":
      return parseEtcd(scheme, authority, path);
    case "kubernetes":
    case "kubernetes+http":
    case "kubernetes+https":
      return parseKubernetes(scheme, authority, path);
    case "s3":
      return parseS3(authority, path, query);
    default:
      return { problem: "must begin with `etcd://`, `etcds://`, `kubernetes://` or `s3://`" };
  }
}

function parseEtcd(scheme: string, authority: string, path: string): Parsed<EtcdLocation> {
  const hosts = authority.split(",");
  if (!hosts.every((each) => host.test(each)))
    return { problem: "must name the members of etcd, such as `etcd://a:2379,b:2379,c:2379/prefix`" };
  if (path !== "" && !keyPattern.test(path))
    return { problem: "must have a prefix of letters, digits, `_`, `.`, `-` and single `/`" };
  return {
    kind: "etcd",
    protocol: scheme === "etcd" ? "http" : "https",
    hosts: hosts.map((each) => (/:\d+$/.test(each) ? each : `${each}:2379`)),
    prefix: path === "" ? "ostiary" : path,
  };
}

function parseKubernetes(scheme: string, authority: string, path: string): Parsed<KubernetesLocation> {
  const inPod = scheme === "kubernetes";
  const [namespace = "", name = "", ...more] = inPod ? [authority, ...path.split("/")] : path.split("/");
  const isServer = inPod || host.test(authority);
  if (!isServer || more.length > 0 || !namespacePattern.test(namespace) || name.length > 253 || !namePattern.test(name))
    return { problem: `must name a Lease object, such as \`${scheme}://${inPod ? "" : "host:port/"}namespace/name\`` };
  const server = inPod ? undefined : `${scheme.slice("kubernetes+".length)}://${authority}`;
  return { kind: "kubernetes", server, namespace, name };
}

function parseS3(bucket: string, key: string, query: string): Parsed<S3Location> {
  if (!bucketPattern.test(bucket) || !keyPattern.test(key))
    return { problem: "must name a bucket and an object, such as `s3://bucket/key?region=eu-central-1`" };
  const parameters = new URLSearchParams(query);
  for (const name of parameters.keys())
    if (name !== "endpoint" && name !== "region")
      return { problem: "must have no parameters except `endpoint` and `region`" };
  const region = parameters.get("region") ?? defaultRegion;
  if (!/^[a-z0-9-]+$/.test(region)) return { problem: "must have a region such as `eu-central-1`" };
  const endpoint = parameters.get("endpoint")?.replace(/\/$/, "");
  if (endpoint !== undefined && !(/^https?:\/\//.test(endpoint) && host.test(endpoint.replace(/^https?:\/\//, ""))))
    return { problem: "must have an endpoint such as `https://host:9000`" };
  return { kind: "s3", bucket, key, endpoint, region };
}
