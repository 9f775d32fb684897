/** What describes this node in exported traces and logs. The variables OTEL_SERVICE_NAME and OTEL_RESOURCE_ATTRIBUTES apply. */
import {
  defaultResource,
  detectResources,
  emptyResource,
  resourceAttributesEnvDetector,
  serviceNameEnvDetector,
  type Resource,
} from "@opentelemetry/resources";

/** Attributes of a node besides the name of the service: role, version, environment. The role changes with a failover. */
export type NodeAttributes = () => Readonly<Record<string, string>>;

/** The SDK has no resource that changes, but exporters read the attributes of this one at each export. */
export function otelResource(attributes: NodeAttributes): Resource {
  const first = { ...defaultResource().attributes, "service.name": "ostiary" };
  const given = detectResources({ detectors: [resourceAttributesEnvDetector, serviceNameEnvDetector] });
  return Object.defineProperty(emptyResource(), "attributes", {
    get: () => ({ ...first, ...attributes(), ...given.attributes }),
  });
}
