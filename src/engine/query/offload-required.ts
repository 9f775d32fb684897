/** The error by which the serving thread hands a question over to a worker process. */
import { notAFailure } from "../../telemetry/tracing.ts";

/**
 * The question may take long, so an engine in a worker process has to answer it: that process can be ended at its
 * deadline.
 */
export class OffloadRequired extends Error {
  readonly [notAFailure] = true;
}
