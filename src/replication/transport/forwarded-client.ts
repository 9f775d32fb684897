/**
 * The client of a forwarded write, as the edge tells it to the primary for the audit log. The request has the API key of
 * the client, who could send the header as well, so the edge adds a message authentication code (MAC).
 */
import { hmacWith } from "../../runtime/sha256.ts";
import type { NodeKeyHashes } from "../../store/keys/node-keys.ts";
import { isAccepted } from "../identity.ts";

export const forwardedClientHeader = "Ostiary-Client";

export interface ForwardedClient {
  /** The IP address of the client; null if the edge does not know it. */
  readonly address: string | null;
  /** The edge. */
  readonly node: string;
}

export interface ForwardedClientMac {
  /** The value of the header. */
  sign(client: ForwardedClient, requestId: string): string;
  /** Undefined if no node of this environment has made the value for this request. */
  verify(header: string, requestId: string): ForwardedClient | undefined;
}

const unknownAddress = "-";

/** Signs with the first key, and verifies with each. */
export function forwardedClientMac(nodeKeyHashes: NodeKeyHashes): ForwardedClientMac {
  const [first, ...others] = nodeKeyHashes;
  const macOf = macUnder(first);
  const all = [macOf, ...others.map(macUnder)];
  return {
    sign({ node, address }, requestId) {
      const named = address ?? unknownAddress;
      return `${node} ${named} ${macOf(node, named, requestId)}`;
    },
    verify(header, requestId) {
      const [node = "", address = "", mac = "", ...more] = header.split(" ");
      const expected = all.map((made) => Buffer.from(made(node, address, requestId)));
      if (more.length > 0 || !isAccepted(Buffer.from(mac), expected, "request")) return undefined;
      return { node, address: address === unknownAddress ? null : address };
    },
  };
}

function macUnder(nodeKeyHash: string): (node: string, address: string, requestId: string) => string {
  // A separate key, so that this MAC is valid nowhere else.
  const key = hmacWith(Buffer.from(nodeKeyHash, "hex"))("ostiary forwarded client 1");
  const hmac = hmacWith(Buffer.from(key, "hex"));
  return (node, address, requestId) => hmac(`${node}\0${address}\0${requestId}`).slice(0, 32);
}
