/** What the node answers, as the endpoints declare it. */
import type { environmentEndpoints } from "../../../features/environments/endpoints.ts";
import type { healthEndpoints } from "../../../features/health/endpoints.ts";
import type { metricEndpoints } from "../../../features/metrics/endpoints.ts";
import type { peopleEndpoints } from "../../../features/people/endpoints.ts";
import type { Answer } from "./answer.ts";

export type Whoami = Answer<typeof peopleEndpoints.whoami>;
export type Role = Whoami["role"];
export type IssuerOfNode = Answer<typeof peopleEndpoints.getLogin>;
export type Health = Answer<typeof healthEndpoints.healthcheck>;
export type Environment = Answer<typeof environmentEndpoints.getEnvironments>["environments"][number];
export type MetricsHistory = Answer<typeof metricEndpoints.getMetricsHistory>;
export type HistorySeries = keyof MetricsHistory["series"];
