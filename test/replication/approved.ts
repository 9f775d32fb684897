/** Checks of policies for tests that append without a `Writer`, which otherwise has each upload checked. */
import { approvePolicy } from "../../src/engine/validation/policy-approval.ts";
import type { WriteMeta, WriteRequest } from "../../src/log/append/append.ts";
import type { Connection } from "../../src/store/connection/connection.ts";
import { defaultLimits } from "../../src/config/limits.ts";

/** `meta`, with the approval of the policy if the request uploads one. */
export function approved(store: Connection, request: WriteRequest, meta: WriteMeta, limits = defaultLimits): WriteMeta {
  if (request.kind !== "policy") return meta;
  const { source, filename, force } = request;
  const approval = approvePolicy({ source, filename, runTests: !force }, limits, (body) => body(store));
  return { ...meta, approval };
}
