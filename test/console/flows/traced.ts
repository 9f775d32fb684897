/** Tracing for a file of flows, whose nodes are all in this process: they share one buffer of traces. */
import { afterAll, beforeAll } from "bun:test";
import { defaultLimits } from "../../../src/config/limits.ts";
import { startTracing } from "../../../src/telemetry/tracing.ts";

export function traced(): void {
  let stop: (() => Promise<void>) | undefined;
  beforeAll(async () => {
    ({ stop } = await startTracing({ attributes: () => ({}), recent: { perSecond: 1000, ...defaultLimits } }));
  });
  afterAll(() => stop?.());
}
