/**
 * A position is `(epoch, offset, hash)`. The epoch identifies one unbroken history, and the hash chains over all its
 * events, so two nodes at the same position have the same history. Clients only see epoch and offset: the consistency
 * token (`OsoOffset`), which is opaque to them.
 */
import { hash } from "node:crypto";
import type { LogRow } from "../../store/log/log.ts";
import { AppError } from "../../util/app-error.ts";
import type { Clock } from "../../util/clock.ts";

export interface Position {
  readonly epoch: string;
  readonly offset: number;
  readonly hash: string;
}

/** The first 8 bytes of SHA-256 over the previous hash and the row's canonical text, in hex. */
export function chainHash(previous: string, row: LogRow): string {
  const canonical = JSON.stringify([row.offset, row.timeMs, row.kind, row.body, row.traceparent]);
  return hash("sha256", previous + canonical, "hex").slice(0, 16);
}

/** The chain hash after each of `rows`, which follow a position with the hash `previous`. */
export function chainHashes(previous: string, rows: readonly LogRow[]): string[] {
  let hash = previous;
  return rows.map((row) => (hash = chainHash(hash, row)));
}

/** A unique id for an epoch: 64 random bits. It is no secret. */
export function mintEpoch({ random }: Pick<Clock, "random">): string {
  const part = (): string =>
    Math.floor(random() * 2 ** 32)
      .toString(16)
      .padStart(8, "0");
  return part() + part();
}

export function formatToken(epoch: string, offset: number): string {
  return `${epoch}:${offset}`;
}

/** Throws `invalid_request` if the text is not a token. */
export function parseToken(text: string): { readonly epoch: string; readonly offset: number } {
  const match = /^([0-9a-f]{16}):(\d{1,15})$/.exec(text);
  if (match?.[1] === undefined || match[2] === undefined) {
    throw new AppError(
      "invalid_request",
      `the consistency token \`${text.slice(0, 64)}\` is malformed, send the value that OsoOffset had`,
    );
  }
  return { epoch: match[1], offset: Number(match[2]) };
}
