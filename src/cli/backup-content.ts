/** The description of a backup, as JSON and as text. */
import { describePointInTime } from "../store/log/point-in-time.ts";
import type { Snapshot } from "../store/snapshot/snapshot.ts";
import { formatMegabytes } from "../util/megabytes.ts";
import { printable } from "../util/printable.ts";
import type { Authenticity } from "../store/snapshot/snapshot-mac.ts";
import { authenticityTexts } from "./node-key.ts";

export function contentOf({ path, manifest, size }: Snapshot, authenticity: Authenticity): object {
  const { kind, environment, epoch, offset, timeMs, madeMs, digest, schema, unpackedBytes } = manifest;
  const from = manifest.from ?? { offset, timeMs };
  return {
    ...{ file: path, kind, environment, made: iso(madeMs), authenticity },
    earliest: { offset: from.offset, time: iso(from.timeMs) },
    newest: { offset, time: iso(timeMs) },
    ...{ epoch, digest, format: schema, bytes: size, unpacked_bytes: unpackedBytes },
  };
}

export function describeContent({ path, manifest, size }: Snapshot, authenticity: Authenticity): string {
  const { kind, environment, epoch, madeMs, schema, unpackedBytes } = manifest;
  const lines = [
    `${printable(path)}: a ${kind} of environment \`${printable(environment)}\`, made ${iso(madeMs)}`,
    `  from    ${describePointInTime(manifest.from ?? manifest)}`,
    `  to      ${describePointInTime(manifest)}, epoch ${epoch}`,
    `  size    ${formatMegabytes(size)} MB, unpacked ${formatMegabytes(unpackedBytes)} MB, format ${schema}`,
    `  origin  ${authenticityTexts[authenticity]}`,
  ];
  return `${lines.join("\n")}\n`;
}

export function iso(timeMs: number): string {
  return new Date(timeMs).toISOString();
}
