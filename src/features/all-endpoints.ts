/** All endpoints of the API. The requests between nodes and the files of the console are no part of it. */
import type { Endpoint, Endpoints } from "../http/endpoint.ts";
import { matches } from "../http/not-found.ts";
import { consolePath } from "../http/console.ts";
import { auditEndpoints } from "./audit/endpoints.ts";
import { authzenEndpoints } from "./authzen/endpoints.ts";
import { backupEndpoints } from "./backups/endpoints.ts";
import { bindingsEndpoints } from "./bindings/endpoints.ts";
import { decisionEndpoints } from "./decisions/endpoints.ts";
import { environmentEndpoints } from "./environments/endpoints.ts";
import { eventEndpoints } from "./events/endpoints.ts";
import { factEndpoints } from "./facts/endpoints.ts";
import { healthEndpoints } from "./health/endpoints.ts";
import { keyEndpoints } from "./keys/endpoints.ts";
import { localEndpoints } from "./local/endpoints.ts";
import { metricEndpoints } from "./metrics/endpoints.ts";
import { nodeEndpoints } from "./nodes/endpoints.ts";
import { parityEndpoints } from "./parity/endpoints.ts";
import { peopleEndpoints } from "./people/endpoints.ts";
import { policyEndpoints } from "./policy/endpoints.ts";
import { promotionEndpoints } from "./promotion/endpoints.ts";
import { authorizeEndpoints, questionEndpoints } from "./questions/endpoints.ts";
import { traceEndpoints } from "./traces/endpoints.ts";

/** By the names that they have in generated clients. */
export const allEndpoints: Endpoints = {
  ...authorizeEndpoints,
  ...questionEndpoints,
  ...localEndpoints,
  ...bindingsEndpoints,
  ...authzenEndpoints,
  ...decisionEndpoints,
  ...parityEndpoints,
  ...factEndpoints,
  ...policyEndpoints,
  ...keyEndpoints,
  ...peopleEndpoints,
  ...environmentEndpoints,
  ...healthEndpoints,
  ...metricEndpoints,
  ...eventEndpoints,
  ...backupEndpoints,
  ...auditEndpoints,
  ...promotionEndpoints,
  ...nodeEndpoints,
  ...traceEndpoints,
};

const all: readonly Endpoint[] = Object.values(allEndpoints);
// `ostiary dev` has only one environment.
const openPaths = all
  .filter(({ role, isDevelopment }) => role === undefined && isDevelopment !== true)
  .map(({ path }) => path);

/** Whether a path needs no API key. Such endpoints give the same answers in all environments, so the default one gives them. */
export function isOpenPath(path: string): boolean {
  const exact = path.replace(/\/$/, "");
  if (exact === consolePath || path.startsWith(`${consolePath}/`)) return true;
  return openPaths.some((open) => (open.endsWith("/*") ? path.startsWith(open.slice(0, -1)) : exact === open));
}

/** Whether an edge forwards this request to the primary. */
export function isForwarded(method: string, path: string): boolean {
  return all.some(
    (endpoint) => endpoint.kind === "write" && endpoint.method === method && matches(endpoint.path, path),
  );
}
