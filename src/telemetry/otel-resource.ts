/** What describes this node in exported traces and logs. The variables OTEL_SERVICE_NAME and OTEL_RESOURCE_ATTRIBUTES apply. */
import {
  defaultResource,
  detectResources,
  resourceAttributesEnvDetector,
  resourceFromAttributes,
  serviceNameEnvDetector,
  type Resource,
} from "@opentelemetry/resources";

/** `attributes` are those of the node besides the name of the service: role, version, environment. */
export function otelResource(attributes: Readonly<Record<string, string>>): Resource {
  return defaultResource()
    .merge(resourceFromAttributes({ "service.name": "ostiary", ...attributes }))
    .merge(detectResources({ detectors: [resourceAttributesEnvDetector, serviceNameEnvDetector] }));
}
