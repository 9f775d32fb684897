/**
 * The client of a forwarded write, as the edge tells it to the primary for the audit log. The request has the API key of
 * the client, who could send the header as well, so the edge adds a message authentication code (MAC).
 */
import { timingSafeEqual } from "node:crypto";
import { hmacWith } from "../../runtime/sha256.ts";

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

/** `nodeKeyHash` is the hash of the node key, which all nodes have. */
export function forwardedClientMac(nodeKeyHash: string): ForwardedClientMac {
  // A separate key, so that this MAC is valid nowhere else.
  const key = hmacWith(Buffer.from(nodeKeyHash, "hex"))("ostiary forwarded client 1");
  const hmac = hmacWith(Buffer.from(key, "hex"));
  const macOf = (node: string, address: string, requestId: string): string =>
    hmac(`${node}\0${address}\0${requestId}`).slice(0, 32);
  return {
    sign({ node, address }, requestId) {
      const named = address ?? unknownAddress;
      return `${node} ${named} ${macOf(node, named, requestId)}`;
    },
    verify(header, requestId) {
      const [node = "", address = "", mac = "", ...more] = header.split(" ");
      const expected = Buffer.from(macOf(node, address, requestId));
      const given = Buffer.from(mac);
      if (more.length > 0 || given.length !== expected.length || !timingSafeEqual(given, expected)) return undefined;
      return { node, address: address === unknownAddress ? null : address };
    },
  };
}
