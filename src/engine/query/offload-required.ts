/** The error by which the serving thread hands a question that may take long over to a worker process. */
import { notAFailure } from "../../telemetry/tracing.ts";

export class OffloadRequired extends Error {
  readonly [notAFailure] = true;
}
