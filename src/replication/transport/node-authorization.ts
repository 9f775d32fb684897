/**
 * The node key in requests to other nodes. A node sends its first key. While the key is replaced, a node that knows only
 * the other one refuses that, so it then sends its second key: nodes never refuse each other, whatever is restarted first.
 */
import { nodeKeysIn } from "../../config/node-key.ts";
import { countSecondNodeKey } from "../identity.ts";

type Headers = Readonly<Record<"Authorization", string>>;

/** `nodeKey` is the setting. `send` is called a second time if the other node refuses the first of two keys. */
export async function sendWithNodeKey(
  nodeKey: string,
  send: (headers: Headers) => Promise<Response>,
): Promise<Response> {
  const [first, second] = nodeKeysIn(nodeKey);
  const response = await send({ Authorization: `Bearer ${first}` });
  if (response.status !== 401 || second === undefined) return response;
  await response.body?.cancel();
  const retried = await send({ Authorization: `Bearer ${second}` });
  if (retried.status !== 401) countSecondNodeKey("sent");
  return retried;
}
