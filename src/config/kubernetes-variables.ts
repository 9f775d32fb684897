/**
 * The variables that Kubernetes sets in each container for the Services of its namespace. Those of a Service `ostiary`
 * or `ostiary-…` begin like settings, and `OSTIARY_PORT` is the name of a setting. Each Service has a variable
 * `…_SERVICE_HOST`; a variable without it is a typing error, and is reported.
 * https://kubernetes.io/docs/concepts/services-networking/service/#environment-variables
 */

export type Environment = Readonly<Record<string, string | undefined>>;

const hostSuffix = "_SERVICE_HOST";
const suffix =
  /^_(?:SERVICE_HOST|SERVICE_PORT(?:_[A-Z0-9_]+)?|PORT(?:_\d+_(?:TCP|UDP|SCTP)(?:_(?:PROTO|PORT|ADDR))?)?)$/;
const address = /^(?:tcp|udp|sctp):\/\//;

/** The variables that are not read as settings. */
export function serviceVariables(environment: Environment): readonly string[] {
  const services = Object.keys(environment)
    .filter((name) => name.startsWith("OSTIARY_") && name.endsWith(hostSuffix))
    .map((name) => name.slice(0, -hostSuffix.length));
  const isOfService = (name: string): boolean =>
    services.some((service) => {
      if (!name.startsWith(service) || !suffix.test(name.slice(service.length))) return false;
      // The user can have replaced the `OSTIARY_PORT` of the Service.
      return name !== `${service}_PORT` || address.test(environment[name] ?? "");
    });
  return Object.keys(environment).filter(isOfService);
}

const namesMax = 3;

/** A message about them; undefined if there are none. */
export function describeServiceVariables(environment: Environment): string | undefined {
  const names = serviceVariables(environment);
  if (names.length === 0) return undefined;
  const more = names.length > namesMax ? ` and ${names.length - namesMax} more` : "";
  return `Kubernetes has set ${names.slice(0, namesMax).join(", ")}${more} for a Service, and they are ignored: set \`enableServiceLinks: false\` in the pod to avoid them`;
}
