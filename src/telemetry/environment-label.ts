/**
 * The label `environment` of metrics. Only series of hosted environments have it, and only so many environments have a
 * value of their own: each new value is another set of time series.
 */
import { currentEnvironment } from "./current-environment.ts";

const ownValuesMax = 50;
/** The value of all other environments. */
export const otherEnvironments = "other";

const ownValues = new Set<string>();

/** The value for an environment, by default the current one; undefined for the default environment. */
export function environmentLabel(id = currentEnvironment()): string | undefined {
  if (id === undefined || ownValues.has(id)) return id;
  if (ownValues.size >= ownValuesMax) return otherEnvironments;
  ownValues.add(id);
  return id;
}
