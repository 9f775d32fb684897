/** Data bindings that the environment stores under names, so that questions need not contain their text. */
import type { Limits } from "../../config/limits.ts";
import type { QueryDispatcher } from "../../engine/workers/query-dispatcher.ts";
import type { Node } from "../../replication/node.ts";
import { AppError } from "../../util/app-error.ts";
import { clip } from "../../util/text-length.ts";
import { exchangeOf, holderOf } from "../../http/middleware/exchange.ts";
import type { Handlers } from "../../http/router.ts";
import { writeMetaOf, writeResponse, writesOf } from "../../http/write-response.ts";
import { bindingsName, type StoredBindings } from "../../store/keys/stored-bindings.ts";
import type { bindingsEndpoints } from "./endpoints.ts";

export function handleBindings(
  node: Node,
  limits: Limits,
  queries: QueryDispatcher,
): Handlers<typeof bindingsEndpoints> {
  return {
    getBindings: () => ({ bindings: node.engine().allStoredBindings().map(described) }),
    getNamedBindings: ({ params }) => {
      const name = nameIn(params.name);
      const stored = node.engine().storedBindings(name);
      if (stored === undefined) throw unknownBindings(name);
      return { ...described(stored), data_bindings: stored.text };
    },
    putBindings: async ({ body: { data_bindings: text }, params, request, set }) => {
      const name = nameIn(params.name);
      const { signatures } = await queries.ask("bindingsCheck", { bindings: { text } }, holderOf(exchangeOf(request)));
      exchangeOf(request).audited = { target: name, details: { signatures } };
      const put = { name, text, timeMs: node.clock.wallMs(), bindingsMax: limits.storedBindingsMax };
      const result = await writesOf(node).keys({ add: [], remove: [], putBindings: put }, writeMetaOf(request));
      if (result.unchanged) set.status = 202;
      return writeResponse(set, result, result.unchanged ? "data bindings unchanged" : "data bindings stored");
    },
    deleteBindings: async ({ params, request, set }) => {
      const name = nameIn(params.name);
      const result = await writesOf(node).keys({ add: [], remove: [], removeBindings: name }, writeMetaOf(request));
      if (result.unchanged === true) throw unknownBindings(name);
      return writeResponse(set, result, "data bindings removed");
    },
  };
}

function described({ name, text, timeMs }: StoredBindings) {
  return { name, bytes: Buffer.byteLength(text), stored: new Date(timeMs).toISOString() };
}

function nameIn(name: string): string {
  if (bindingsName.test(name)) return name;
  throw new AppError(
    "invalid_request",
    "the name of data bindings in the path must have 1 to 64 letters, digits, `_` or `-`, and begin with a letter or a digit",
  );
}

function unknownBindings(name: string): AppError {
  const message = `no data bindings are stored under the name \`${clip(name, 64)}\`: \`GET /api/bindings\` lists the names`;
  return new AppError("not_found", message);
}
