/** What a backup says of itself. */
import { describeMoment } from "../store/past.ts";
import type { Snapshot } from "../store/snapshot.ts";
import { megabytes } from "../util/megabytes.ts";

export function contentOf({ path, manifest, size }: Snapshot): object {
  const { kind, environment, epoch, offset, timeMs, madeMs, digest, schema, unpackedBytes } = manifest;
  const from = manifest.from ?? { offset, timeMs };
  return {
    ...{ file: path, kind, environment, made: iso(madeMs) },
    earliest: { offset: from.offset, time: iso(from.timeMs) },
    newest: { offset, time: iso(timeMs) },
    ...{ epoch, digest, format: schema, bytes: size, unpacked_bytes: unpackedBytes },
  };
}

export function describeContent({ path, manifest, size }: Snapshot): string {
  const { kind, environment, epoch, madeMs, schema, unpackedBytes } = manifest;
  const lines = [
    `${path}: a ${kind} of environment \`${environment}\`, made ${iso(madeMs)}`,
    `  from    ${describeMoment(manifest.from ?? manifest)}`,
    `  to      ${describeMoment(manifest)}, epoch ${epoch}`,
    `  size    ${megabytes(size)} MB, unpacked ${megabytes(unpackedBytes)} MB, format ${schema}`,
  ];
  return `${lines.join("\n")}\n`;
}

export function iso(timeMs: number): string {
  return new Date(timeMs).toISOString();
}
