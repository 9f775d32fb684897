/**
 * The keys that were found valid at the node's present position. To look one up and to hash its text costs a request 4 µs, and while no event
 * has come in the answer is the same; with the next event, which may be a key's removal, everything is forgotten.
 */
import { authenticate } from "../engine/authenticate.ts";
import type { ApiKey } from "../engine/event.ts";
import type { Node } from "../replication/node.ts";

export function keyring(node: Node): (text: string) => ApiKey | undefined {
  const valid = new Map<string, ApiKey>();
  let validIn: ReturnType<Node["present"]>;
  return (text) => {
    // INVARIANT: the state is read before the copy is asked, so what is kept is never older than the state under which it is kept.
    const state = node.present();
    if (state !== validIn || valid.size >= keysMax) {
      valid.clear();
      validIn = state;
    }
    const known = valid.get(text);
    if (known !== undefined) return known;
    const key = authenticate(node.engine(), text);
    if (key !== undefined) valid.set(text, key);
    return key;
  };
}

const keysMax = 1000;
